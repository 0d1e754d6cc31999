//! `install`: puts a copy of this binary elsewhere. An image without a shell has no `cp`.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;

/// What the copy is called.
pub const NAME: &str = "iam-mcp-server";

/// Where to put it.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The directory, which exists. What has the name iam-mcp-server in it is replaced.
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
#[error("cannot copy this binary to {}: {source}. The directory has to exist and be writable", path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// Copies, and says where to.
///
/// # Errors
/// When the copy cannot be written.
pub fn run(arguments: &Arguments) -> Result<PathBuf, Error> {
    let path = arguments.directory.join(NAME);
    copy(&path).map_err(|source| Error {
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

/// Whole or not at all: it may be run while it is replaced.
fn copy(path: &Path) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::copy(std::env::current_exe()?, &beside)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o555))?;
    fs::rename(&beside, path)
}
