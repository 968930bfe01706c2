//! Kafka's own command-line tools read what we write, and write what we read.
//!
//! Needs a cluster in `KAFKA_BOOTSTRAP_SERVERS` (`scripts/kafka up` starts one), and is skipped
//! without.

#[path = "support/consume.rs"]
mod bed;
mod support;

use std::{
    collections::BTreeMap,
    env,
    io::{Write, stderr},
    process::{Command, Stdio},
};

use bed::{Bed, Calls, committed};
use kafka_tower::{ConsumerRecord, ProducerRecord, ProducerSettings, PublishExt, Publisher};
use support::run;
use tokio::sync::mpsc;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");
/// What stands for null in the tools' text.
const NULL: &str = "<null>";
/// How long a tool may run, in seconds.
const TOOL_TIME: &str = "120";

fn skipped(test: &str) -> bool {
    let brokers = env::var("KAFKA_BOOTSTRAP_SERVERS").unwrap_or_default();
    let skipped = brokers.is_empty();
    if skipped {
        // Past the test harness, which hides what a passing test prints.
        let line = format!("{test} is skipped: KAFKA_BOOTSTRAP_SERVERS names no cluster\n");
        let _ = stderr().write_all(line.as_bytes());
    }
    skipped
}

/// Runs one of Kafka's tools on the cluster and returns what it prints.
async fn tool(brokers: &str, name: &str, args: &[&str], input: &str) -> String {
    let mut command = Command::new("timeout");
    command
        .args([TOOL_TIME, SCRIPT, "tool", name])
        .args(["--bootstrap-server", brokers])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let input = input.to_owned();
    let ended = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("`timeout` is installed");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input.as_bytes()).expect("the tool reads");
        drop(stdin);
        child.wait_with_output().expect("the tool ends")
    });
    let output = ended.await.expect("no panic");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{name}: {}\n{errors}",
        output.status
    );
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn kafkas_own_consumer_reads_what_we_publish() {
    if skipped("kafkas_own_consumer_reads_what_we_publish") {
        return;
    }
    run(async {
        let bed = Bed::new(1).await;
        let record = || ProducerRecord::to(&*bed.topic).timestamp(1_700_000_000_123);
        let mut headers = record().key("all").payload("grüße, 世界").header("a", "1");
        headers.headers.append_null("gone");
        let headers = headers
            .header("empty", "")
            .header("a", "2")
            .header("ключ", "знач");
        for record in [
            headers,
            record().key("a tombstone").header("a", "1"),
            record().key("nothing in it").payload("").header("a", "1"),
            record().key("").payload("an empty key"),
            record().payload("a null key"),
            record(),
        ] {
            bed.send(record).await;
        }
        // Without header and timestamp a record takes another way through librdkafka.
        let plain = || ProducerRecord::to(&*bed.topic);
        let batches = Publisher::new(ProducerSettings::high_throughput(bed.brokers()));
        let batches = batches.expect("good settings");
        for record in [
            plain().key("key").payload("payload"),
            plain().key("a tombstone"),
            plain().key("nothing in it").payload(""),
            plain().key("").payload("an empty key"),
            plain().payload("a null key"),
            plain(),
        ] {
            batches.send(record).await.expect("a delivery");
        }
        let named = Publisher::new(ProducerSettings::high_reliability(bed.brokers()));
        let record = plain().key("named").header("a", "1").message_id("my own");
        let named = named.expect("good settings").send(record).await;
        assert_eq!(named.expect("a delivery").offset, Some(12));

        let formatted = [
            "--formatter-property=print.timestamp=true",
            "--formatter-property=print.offset=true",
            "--formatter-property=print.headers=true",
            "--formatter-property=print.key=true",
            "--formatter-property=key.separator=|",
            "--formatter-property=null.literal=<null>",
        ];
        let args = [
            "--topic",
            &bed.topic,
            "--from-beginning",
            "--max-messages",
            "13",
        ];
        let args = [&args[..], &["--timeout-ms", "60000"], &formatted].concat();
        let printed = tool(bed.brokers(), "console-consumer", &args, "").await;
        let (timestamps, lines): (Vec<_>, Vec<_>) = printed
            .lines()
            .filter_map(|line| line.split_once('|'))
            .unzip();
        assert_eq!(timestamps[..6], ["CreateTime:1700000000123"; 6]);
        assert_eq!(
            lines,
            [
                "Offset:0|a:1,gone:<null>,empty:,a:2,ключ:знач|all|grüße, 世界",
                "Offset:1|a:1|a tombstone|<null>",
                "Offset:2|a:1|nothing in it|",
                "Offset:3|NO_HEADERS||an empty key",
                "Offset:4|NO_HEADERS|<null>|a null key",
                "Offset:5|NO_HEADERS|<null>|<null>",
                "Offset:6|NO_HEADERS|key|payload",
                "Offset:7|NO_HEADERS|a tombstone|<null>",
                "Offset:8|NO_HEADERS|nothing in it|",
                "Offset:9|NO_HEADERS||an empty key",
                "Offset:10|NO_HEADERS|<null>|a null key",
                "Offset:11|NO_HEADERS|<null>|<null>",
                "Offset:12|a:1,message-id:my own|named|<null>",
            ]
        );
    });
}

/// A record as the tools' text shows it: headers, key, payload.
fn shown(record: &ConsumerRecord) -> String {
    let text = |bytes: Option<&[u8]>| {
        let bytes = bytes.unwrap_or(NULL.as_bytes());
        std::str::from_utf8(bytes).expect("text").to_owned()
    };
    let headers = record.headers().iter();
    let headers: Vec<_> = headers
        .map(|(key, value)| format!("{}:{}", text(Some(key)), text(value)))
        .collect();
    let headers = match headers.is_empty() {
        true => NULL.to_owned(),
        false => headers.join(","),
    };
    format!(
        "{headers}\t{}\t{}",
        text(record.key()),
        text(record.payload())
    )
}

#[test]
fn what_kafkas_own_producer_writes_reaches_a_service_intact() {
    if skipped("what_kafkas_own_producer_writes_reaches_a_service_intact") {
        return;
    }
    run(async {
        let bed = Bed::new(1).await;
        let lines = [
            "a:1,gone:<null>,empty:,a:2,ключ:знач\tall\tgrüße, 世界",
            "<null>\tkey\tpayload",
            "a:1\ta tombstone\t<null>",
            "a:1\tnothing in it\t",
            "<null>\t\tan empty key",
            "<null>\t<null>\ta null key",
            "<null>\t<null>\t<null>",
        ];
        let args = [
            "--topic",
            &bed.topic,
            "--reader-property=parse.headers=true",
            "--reader-property=parse.key=true",
            "--reader-property=null.marker=<null>",
        ];
        let input = lines.map(|line| format!("{line}\n")).concat();
        tool(bed.brokers(), "console-producer", &args, &input).await;

        let (sender, mut records) = mpsc::unbounded_channel();
        let calls = Calls::default();
        let running = bed.serve(calls.service(move |record| {
            sender.send(record).expect("the test goes on");
            async { Ok(()) }
        }));
        calls.reach(lines.len()).await;
        let summary = running.stop().await;
        assert_eq!(committed(&summary), bed.all_at(7));
        let mut received = Vec::new();
        while let Some(record) = records.recv().await {
            assert_eq!(record.topic(), bed.topic);
            assert!(record.timestamp() > Some(1_700_000_000_000), "{record:?}");
            received.push(shown(&record));
        }
        assert_eq!(received, lines);
    });
}

#[test]
fn kafka_shows_the_offsets_that_the_summary_claims() {
    if skipped("kafka_shows_the_offsets_that_the_summary_claims") {
        return;
    }
    run(async {
        let bed = Bed::new(4).await;
        // Partition 2 stays empty, and nothing is committed for it.
        let counts = BTreeMap::from([(0, 300), (1, 1), (3, 77)]);
        for (&partition, &count) in &counts {
            bed.publish(partition, count).await;
        }
        let calls = Calls::default();
        let running = bed.serve(calls.acking());
        calls.reach(378).await;
        let summary = running.stop().await;
        assert_eq!((summary.acked, summary.undone.len()), (378, 0));

        let args = ["--describe", "--group", &bed.group];
        let printed = tool(bed.brokers(), "consumer-groups", &args, "").await;
        let claimed = summary
            .committed
            .iter()
            .map(|((topic, partition), offset)| {
                let (end, lag) = (counts[partition], 0);
                format!("{} {topic} {partition} {offset} {end} {lag}", bed.group)
            });
        // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG, then who reads it: nobody.
        let rows = printed.lines().filter(|line| line.starts_with(&bed.group));
        let mut rows: Vec<_> = rows
            .map(|line| Vec::from_iter(line.split_whitespace().take(6)).join(" "))
            .collect();
        rows.sort_unstable();
        assert_eq!(rows, Vec::from_iter(claimed), "{printed}");
        assert_eq!(rows.len(), counts.len(), "{printed}");
    });
}
