//! Writes the code that is generated from the contract.
//!
//! ```text
//! codegen PROTO DESTINATION
//! ```
//!
//! `PROTO` is the folder of the contract. Below `DESTINATION`, which is the folder of the client,
//! come messages and clients (`src/generated/interlock.v1.rs`), the names of enum values and of
//! oneof cases (`src/generated/names.rs`), and, for tests, the traits of servers
//! (`tests/shell/generated/interlock.v1.rs`).

mod names;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_types::FileDescriptorSet;

fn main() -> Result<(), Box<dyn Error>> {
    let [proto, destination] = arguments()?;
    let files = protox::compile(contract(&proto)?, [&proto])?;
    let client = folder(&destination, "src/generated")?;
    messages_and_clients(&client, files.clone())?;
    fs::write(client.join("names.rs"), names::of(&files))?;
    servers(&folder(&destination, "tests/shell/generated")?, files)?;
    Ok(())
}

fn arguments() -> Result<[PathBuf; 2], String> {
    let given: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    given.try_into().map_err(|_| "usage: codegen PROTO DESTINATION".to_owned())
}

/// The files of the contract, always in one order.
fn contract(proto: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = fs::read_dir(proto.join("interlock/v1"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    files.sort();
    Ok(files)
}

fn folder(destination: &Path, name: &str) -> std::io::Result<PathBuf> {
    let folder = destination.join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn messages_and_clients(folder: &Path, files: FileDescriptorSet) -> std::io::Result<()> {
    tonic_prost_build::configure()
        .build_server(false)
        // Enums and oneofs grow with the contract: that must break no `match`.
        .enum_attribute(".", "#[non_exhaustive]")
        .emit_rerun_if_changed(false)
        .out_dir(folder)
        .compile_fds(files)
}

fn servers(folder: &Path, files: FileDescriptorSet) -> std::io::Result<()> {
    tonic_prost_build::configure()
        .build_client(false)
        .extern_path(".interlock.v1", "::interlock_client::v1")
        .generate_default_stubs(true)
        .emit_rerun_if_changed(false)
        .out_dir(folder)
        .compile_fds(files)
}
