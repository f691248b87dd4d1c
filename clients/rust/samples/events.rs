//! Events: shows what happens in a run, over its pauses.

use interlock_client::{Client, Error, EventKind, EventStream};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let target = std::env::var("INTERLOCK_TARGET").unwrap_or("localhost:50051".to_owned());
    let client = Client::new(target)?;
    let workflow = client.workflow("WeatherWorkflow");

    let run_id = show(workflow.run("What is the weather in Tokyo?").stream()?).await?;
    let mut run = client.get_run(&run_id).await?;
    while run.is_paused() {
        for requirement in run.open_requirements_mut() {
            requirement.confirm()?;
        }
        show(client.continue_run(&run).stream()).await?;
        run = client.get_run(&run_id).await?;
    }
    println!("Done: {}", run.output().to_plain_text());
    Ok(())
}

/// Prints the kinds of all events but pieces of text, and gives the run.
async fn show(mut events: EventStream) -> Result<String, Error> {
    let mut run_id = String::new();
    while let Some(event) = events.try_next().await? {
        run_id = event.run_id().to_owned();
        if !matches!(event.kind(), EventKind::ContentDelta(_)) {
            println!("{}", event.name());
        }
    }
    Ok(run_id)
}
