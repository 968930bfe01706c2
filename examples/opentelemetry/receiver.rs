//! A collector inside the process: it takes OTLP, and keeps it to look at.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::InstrumentationScope,
    resource::v1::Resource,
};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::received::{Log, Received, attributes};

const SOON: Duration = Duration::from_secs(30);

/// Serves for as long as the runtime does. Clones share what was received.
#[derive(Clone)]
pub(crate) struct Receiver {
    address: SocketAddr,
    received: Arc<watch::Sender<Received>>,
}

impl Receiver {
    /// On a free port of the loopback interface.
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let receiver = Self {
            address: listener.local_addr()?,
            received: Arc::default(),
        };
        let server = Server::builder()
            .add_service(TraceServiceServer::new(receiver.clone()))
            .add_service(MetricsServiceServer::new(receiver.clone()))
            .add_service(LogsServiceServer::new(receiver.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        Ok(receiver)
    }

    /// What an exporter is told.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until all that `enough` asks for has come, and gives what has.
    pub(crate) async fn wait_for(
        &self,
        what: &str,
        enough: impl FnMut(&Received) -> bool,
    ) -> Received {
        let mut received = self.received.subscribe();
        match timeout(SOON, received.wait_for(enough)).await {
            Ok(came) => came.expect("the sender is here").clone(),
            Err(_) => panic!("{what}: not among {:#?}", self.received.borrow()),
        }
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.received.send_modify(|all| {
            for sent in request.into_inner().resource_spans {
                all.services.extend(service(sent.resource));
                let spans = sent.scope_spans.into_iter().flat_map(|scope| scope.spans);
                all.spans.extend(spans.map(Into::into));
            }
        });
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.received.send_modify(|all| {
            for sent in request.into_inner().resource_metrics {
                all.services.extend(service(sent.resource));
                let metrics = sent
                    .scope_metrics
                    .into_iter()
                    .flat_map(|scope| scope.metrics);
                let named = metrics.map(|metric| (metric.name.clone(), metric.into()));
                all.metrics.extend(named);
            }
        });
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.received.send_modify(|all| {
            for sent in request.into_inner().resource_logs {
                all.services.extend(service(sent.resource));
                for scope in sent.scope_logs {
                    let target = target(scope.scope);
                    let logs = scope.log_records.into_iter();
                    all.logs
                        .extend(logs.map(|log| Log::new(target.clone(), log)));
                }
            }
        });
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

fn service(resource: Option<Resource>) -> Option<String> {
    attributes(resource?.attributes).remove("service.name")
}

/// The scope of a log is the target that it was written to.
fn target(scope: Option<InstrumentationScope>) -> String {
    scope.map(|scope| scope.name).unwrap_or_default()
}
