//! Sets up OpenTelemetry's SDK: traces, metrics and logs, each batched and sent by OTLP.

use kafka_tower::BoxError;
use opentelemetry::{global, propagation::TextMapCompositePropagator, trace::TracerProvider};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    logs::SdkLoggerProvider,
    metrics::SdkMeterProvider,
    propagation::{BaggagePropagator, TraceContextPropagator},
    trace::SdkTracerProvider,
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

/// What exports. At the end of the process it is to be shut down, or what was last batched is lost.
pub(crate) struct Telemetry {
    tracers: SdkTracerProvider,
    meters: SdkMeterProvider,
    loggers: SdkLoggerProvider,
}

impl Telemetry {
    /// Sends to `endpoint`, a collector's gRPC port, what passes `filter`: `info` without polls and commits.
    pub(crate) fn init(
        service: &'static str,
        endpoint: &str,
        filter: &str,
    ) -> Result<Self, BoxError> {
        let resource = Resource::builder().with_service_name(service).build();
        let spans = SpanExporter::builder().with_tonic();
        let tracers = SdkTracerProvider::builder()
            .with_batch_exporter(spans.with_endpoint(endpoint).build()?)
            .with_resource(resource.clone())
            .build();
        let metrics = MetricExporter::builder().with_tonic();
        let meters = SdkMeterProvider::builder()
            .with_periodic_exporter(metrics.with_endpoint(endpoint).build()?)
            .with_resource(resource.clone())
            .build();
        let logs = LogExporter::builder().with_tonic();
        let loggers = SdkLoggerProvider::builder()
            .with_batch_exporter(logs.with_endpoint(endpoint).build()?)
            .with_resource(resource)
            .build();

        // What travels in the headers of records. Without it each process has traces of its own.
        global::set_text_map_propagator(TextMapCompositePropagator::new(vec![
            Box::new(TraceContextPropagator::new()),
            Box::new(BaggagePropagator::new()),
        ]));
        // Before the first `OtelMetrics`, which asks for it.
        global::set_meter_provider(meters.clone());
        // An export that fails can't be told by an export.
        let of_sdk = Targets::new().with_target("opentelemetry", LevelFilter::WARN);
        let complaints = fmt::layer().with_writer(std::io::stderr);
        // The export's own logs would be exported, and so on.
        let filter = format!("{filter},h2=off,hyper=off,tonic=off");
        tracing_subscriber::registry()
            .with(EnvFilter::try_new(filter)?)
            .with(tracing_opentelemetry::layer().with_tracer(tracers.tracer(service)))
            .with(OpenTelemetryTracingBridge::new(&loggers))
            .with(complaints.with_filter(of_sdk))
            .try_init()?;
        Ok(Self {
            tracers,
            meters,
            loggers,
        })
    }

    /// Sends the metrics as they are now; otherwise they go once a minute.
    pub(crate) fn flush_metrics(&self) -> Result<(), BoxError> {
        Ok(self.meters.force_flush()?)
    }

    /// Sends what is left, and ends; what can't be sent is told, and lost. Blocks for some seconds when
    /// nobody takes it: not from a task, but for the one of `main`.
    pub(crate) fn shutdown(self) {
        let Self {
            tracers,
            meters,
            loggers,
        } = self;
        for result in [tracers.shutdown(), meters.shutdown(), loggers.shutdown()] {
            if let Err(error) = result {
                eprintln!("telemetry is lost: {error}");
            }
        }
    }
}
