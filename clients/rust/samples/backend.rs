//! A backend: runs a workflow, and says yes to whatever it waits for.

use interlock_client::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let target = std::env::var("INTERLOCK_TARGET").unwrap_or("localhost:50051".to_owned());
    let client = Client::new(target)?;
    let workflow = client.workflow("WeatherWorkflow");

    let mut run = workflow.run("What is the weather in Tokyo?").await?;
    while run.is_paused() {
        for requirement in run.open_requirements_mut() {
            println!("Waiting: {} {}", requirement.tool_name(), requirement.tool_args());
            requirement.confirm()?;
        }
        run = client.continue_run(&run).await?;
    }
    println!("Done: {}", run.output().to_plain_text());
    Ok(())
}
