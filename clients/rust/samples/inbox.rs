//! An approver: says yes to every call that waits for it, whoever runs the workflow.

use interlock_client::{Client, Decision, Error, RequirementFilter, RequirementKind};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let target = std::env::var("INTERLOCK_TARGET").unwrap_or("localhost:50051".to_owned());
    let client = Client::new(target)?;

    let filter =
        RequirementFilter::new().workflow_id("WeatherWorkflow").kind(RequirementKind::Confirmation);
    let mut waiting = client.list_requirements(filter);
    let mut approved = 0;
    while let Some(mut requirement) = waiting.try_next().await? {
        println!("Approving: {} {}", requirement.tool_name(), requirement.tool_args());
        requirement.decide(Decision::confirm().note("approved from the inbox"))?;
        client.resolve(&requirement).await?;
        approved += 1;
    }
    println!("Approved: {approved}");
    Ok(())
}
