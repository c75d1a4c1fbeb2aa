//! `aka health`: the health check of a container.

use super::client::ClientArgs;
use super::fault::CliFault;
use super::print::report_to_stdout;
use super::server_error::ServerError;
use clap::Args;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// Ask a server whether it is serving.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  aka health
  aka health --server aka.internal:50051 --service aka.v1.Resolver
  aka health --server https://aka.internal:50051 --ca ca.pem --cert me.pem --key me.key

Exit codes: 0 serving, 1 not serving, 69 server unreachable.")]
pub struct HealthArgs {
    /// One service of the server, e.g. aka.v1.Resolver; if empty, the server as a whole
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub service: String,

    #[command(flatten)]
    pub client: ClientArgs,
}

/// Runs `aka health`.
pub async fn run(args: HealthArgs) -> Result<(), CliFault> {
    let connection = args.client.connect().await?;
    let mut client = HealthClient::new(connection.channel.clone());
    let message = HealthCheckRequest { service: args.service.clone() };
    let reply = client.check(connection.request(message)).await;
    let status = connection.answer(reply)?.status();
    report_to_stdout(format!("{}\n", status.as_str_name()).as_bytes())?;
    if status == ServingStatus::Serving {
        return Ok(());
    }
    let what = match args.service.as_str() {
        "" => "the server".to_owned(),
        service => format!("the service {service}"),
    };
    let message = format!("{what} is not serving");
    Err(ServerError::new(Code::Unavailable, status.as_str_name(), &message).into())
}
