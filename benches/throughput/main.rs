//! Compares kafka-tower with rdkafka's own clients: in one run, on the same broker, interleaved.
//!
//! ```text
//! cargo bench --bench throughput                  # on the embedded broker
//! KAFKA_BOOTSTRAP_SERVERS=… cargo bench --bench throughput -- --json publish
//! ```
//!
//! Arguments: the works to run (all without), `--json` for one object a line, `--rounds N`,
//! `--records N`, and `--set NAME=VALUE` for a property of librdkafka that all consumers get.

mod consume;
mod consumers;
mod e2e;
mod handler;
mod latency;
mod partitions;
mod process;
mod progress;
mod publish;
mod report;
mod router;
mod run;
mod stack;
mod stall;

use std::{env, process::ExitCode};

use kafka_tower::testing::TestKafka;

use publish::Load;
use report::Report;
use run::Run;

const USAGE: &str = "usage: cargo bench --bench throughput -- [--json] [--rounds N] [--records N] \
                     [--set NAME=VALUE]… [publish | publish-1k | publish-header | latency | \
                     consume | consume-stack | router | handler | stall | e2e-idle | e2e-50k | \
                     partitions]…";

const WORKS: &[&str] = &[
    "publish",
    "publish-1k",
    "publish-header",
    "latency",
    "consume",
    "consume-stack",
    "router",
    "handler",
    "stall",
    "e2e-idle",
    "e2e-50k",
    "partitions",
];

#[derive(Default)]
struct Options {
    json: bool,
    rounds: Option<usize>,
    records: Option<usize>,
    properties: Vec<(String, String)>,
    works: Vec<String>,
}

fn options() -> Option<Options> {
    let mut options = Options::default();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next()?.parse().ok().filter(|n| *n > 0);
        match argument.as_str() {
            "--bench" => {}
            "--json" => options.json = true,
            "--rounds" => options.rounds = Some(number()?),
            "--records" => options.records = Some(number()?),
            "--set" => {
                let setting = arguments.next()?;
                let (name, value) = setting.split_once('=')?;
                options.properties.push((name.to_owned(), value.to_owned()));
            }
            work if WORKS.contains(&work) => options.works.push(work.to_owned()),
            _ => return None,
        }
    }
    Some(options)
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let kafka = TestKafka::from_env()
        .await
        .expect("a cluster to measure on");
    let run = Run {
        kafka,
        rounds: options.rounds.unwrap_or(5),
        records: options.records,
        properties: options.properties,
    };
    let broker = match run.kafka.embedded() {
        Some(_) => "the embedded broker",
        None => run.kafka.bootstrap_servers(),
    };
    eprintln!("on {broker}, {} rounds, interleaved", run.rounds);
    for &work in WORKS {
        if !options.works.is_empty() && !options.works.iter().any(|wanted| wanted == work) {
            continue;
        }
        let report = match work {
            "consume" => consume::run(&run).await,
            "consume-stack" => stack::run(&run).await,
            "router" => router::run(&run).await,
            "handler" => handler::run(&run).await,
            "stall" => stall::run(&run).await,
            "e2e-idle" | "e2e-50k" => e2e::run(&run, work).await,
            "partitions" => partitions::run(&run).await,
            _ => publishing(&run, work).await,
        };
        report.print(options.json);
    }
    ExitCode::SUCCESS
}

async fn publishing(run: &Run, work: &'static str) -> Report {
    let mut report = Report::new(work);
    for round in 0..run.rounds {
        let load = match work {
            "publish" => Load::new(run.records(500_000), 100, false),
            "publish-1k" => Load::new(run.records(100_000), 1024, false),
            "publish-header" => Load::new(run.records(500_000), 100, true),
            _ => {
                latency::round(&run.kafka, &mut report, run.records(2_000)).await;
                continue;
            }
        };
        publish::round(&run.kafka, &mut report, round, &load).await;
    }
    report
}
