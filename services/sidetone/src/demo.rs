//! placeholder until the demonstration lands
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {}
pub(crate) async fn run(_: DemoArgs) -> anyhow::Result<()> {
    Ok(())
}
