//! `aka alias`: the admin calls from a terminal.

mod change;
mod create;
mod read;
mod session;
mod view;

use crate::cli::fault::CliFault;
use change::{DeleteArgs, UpdateArgs};
use clap::Subcommand;
use create::CreateArgs;
use read::{GetArgs, ListArgs};
use session::SharedArgs;

/// Create, show, list, re-point and delete aliases.
#[derive(Subcommand, Clone, Debug)]
pub enum AliasCommand {
    Create(CreateArgs),
    Get(GetArgs),
    List(ListArgs),
    Update(UpdateArgs),
    Delete(DeleteArgs),
}

impl AliasCommand {
    pub(super) fn shared(&self) -> &SharedArgs {
        match self {
            Self::Create(args) => &args.shared,
            Self::Get(args) => &args.shared,
            Self::List(args) => &args.shared,
            Self::Update(args) => &args.shared,
            Self::Delete(args) => &args.shared,
        }
    }
}

/// Runs `aka alias …`.
pub async fn run(command: AliasCommand) -> Result<(), CliFault> {
    match command {
        AliasCommand::Create(args) => create::create(args).await,
        AliasCommand::Get(args) => read::get(args).await,
        AliasCommand::List(args) => read::list(args).await,
        AliasCommand::Update(args) => change::update(args).await,
        AliasCommand::Delete(args) => change::delete(args).await,
    }
}
