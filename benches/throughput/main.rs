//! Compares kafka-tower with rdkafka's own clients: in one run, on the same broker, interleaved.
//!
//! ```text
//! cargo bench --bench throughput                  # on the embedded broker
//! KAFKA_BOOTSTRAP_SERVERS=… cargo bench --bench throughput -- --json publish
//! ```
//!
//! Arguments: the works to run (all without), `--json` for one object a line, `--rounds N`,
//! `--records N`.

mod latency;
mod publish;
mod report;

use std::{env, process::ExitCode};

use kafka_tower::testing::TestKafka;

use publish::Load;
use report::Report;

const USAGE: &str = "usage: cargo bench --bench throughput -- [--json] [--rounds N] [--records N] \
                     [publish | publish-1k | publish-header | latency]…";

struct Options {
    json: bool,
    rounds: usize,
    records: Option<usize>,
    works: Vec<String>,
}

fn options() -> Option<Options> {
    let mut options = Options {
        json: false,
        rounds: 5,
        records: None,
        works: Vec::new(),
    };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--json" => options.json = true,
            "--rounds" => options.rounds = arguments.next()?.parse().ok().filter(|n| *n > 0)?,
            "--records" => options.records = Some(arguments.next()?.parse().ok()?),
            work if WORKS.contains(&work) => options.works.push(work.to_owned()),
            _ => return None,
        }
    }
    Some(options)
}

const WORKS: &[&str] = &["publish", "publish-1k", "publish-header", "latency"];

#[tokio::main]
async fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let kafka = TestKafka::from_env()
        .await
        .expect("a cluster to measure on");
    let broker = match kafka.embedded() {
        Some(_) => "the embedded broker",
        None => kafka.bootstrap_servers(),
    };
    eprintln!("on {broker}, {} rounds, interleaved", options.rounds);
    for &work in WORKS {
        if !options.works.is_empty() && !options.works.iter().any(|wanted| wanted == work) {
            continue;
        }
        let mut report = Report::new(work);
        let records = |default| options.records.unwrap_or(default);
        for round in 0..options.rounds {
            let load = match work {
                "publish" => Load::new(records(500_000), 100, false),
                "publish-1k" => Load::new(records(100_000), 1024, false),
                "publish-header" => Load::new(records(500_000), 100, true),
                _ => {
                    latency::round(&kafka, &mut report, records(2_000)).await;
                    continue;
                }
            };
            publish::round(&kafka, &mut report, round, &load).await;
        }
        report.print(options.json);
    }
    ExitCode::SUCCESS
}
