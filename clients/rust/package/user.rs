use interlock_client::{Client, Error, VERSION};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let target = std::env::var("INTERLOCK_TARGET");
    let client = Client::new(target.as_deref().unwrap_or("localhost:50051"))?;
    println!("interlock-client {VERSION}");
    if target.is_ok() {
        for workflow in client.list_workflows().all().await? {
            println!("{}", workflow.workflow_id);
        }
    }
    Ok(())
}
