//! The driver of the conformance suite: a request from each line of standard input, a reply to
//! each on standard output. See `clients/conformance/README.md`.

mod decisions;
mod driver;
mod request;
mod streams;
mod views;
mod workers;

use std::io::Write;

use driver::Driver;
use request::Request;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut lines = BufReader::new(stdin()).lines();
    let mut driver = Driver::default();
    while let Some(line) = lines.next_line().await? {
        let reply = driver.reply(&Request::new(&line)?).await;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{reply}")?;
        output.flush()?;
    }
    // Nothing that still waits keeps the process: its standard input has ended.
    std::process::exit(0)
}
