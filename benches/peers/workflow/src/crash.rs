//! SIGKILL with 500 workflows in flight, and a new start at once: how long until all have ended, beyond the time that
//! they would have needed anyway.
use std::time::{Duration, Instant};

use crate::Result;
use crate::client::{Client, STEP_S, STEPS, Trips, Workload};
use crate::dbos::Dbos;
use crate::dsmil::Dsmil;
use crate::http::Connection;

const IN_FLIGHT: usize = 500;
const SUBMITTERS: usize = 32;
/// Between two looks at what is open.
const LOOK: Duration = Duration::from_millis(20);
const GIVE_UP: Duration = Duration::from_secs(60);

pub async fn survive(dsmil: &mut Dsmil, peer: Option<&mut Dbos>) -> Result<()> {
    println!("\nSIGKILL with {IN_FLIGHT} in flight ({STEPS} steps, {STEP_S} s of sleep after each), and a new start");
    let trial = Trial::begin(&dsmil.client(Trips::Two)?).await?;
    dsmil.kill()?;
    let killed = Instant::now();
    dsmil.begin()?;
    trial.end("dsmil, with its PostgreSQL", &dsmil.client(Trips::Two)?, killed).await?;

    let Some(peer) = peer else { return Ok(()) };
    let trial = Trial::begin(&peer.client()).await?;
    peer.kill()?;
    let killed = Instant::now();
    peer.begin()?;
    trial.end("DBOS for Rust, server only", &peer.client(), killed).await
}

struct Trial {
    ids: Vec<String>,
    accepted_in: Duration,
    /// When the last of them would have ended.
    ideal: Instant,
}

impl Trial {
    /// Submits them, and waits until they are in the middle of their second sleep.
    async fn begin(client: &Client) -> Result<Self> {
        let began = Instant::now();
        let submitted = (0..SUBMITTERS).map(|place| async move {
            let mut connection = Connection::open(&client.address).await?;
            let mut ids = Vec::new();
            for _ in (place..IN_FLIGHT).step_by(SUBMITTERS) {
                ids.push(client.submit(&mut connection, Workload::Slow).await?);
            }
            Ok::<_, std::io::Error>(ids)
        });
        let ids: Vec<String> = futures_util::future::try_join_all(submitted).await?.into_iter().flatten().collect();
        let accepted_in = began.elapsed();
        let sleep = Duration::from_secs(STEP_S);
        tokio::time::sleep(sleep + sleep / 2).await;
        Ok(Trial { ids, accepted_in, ideal: began + accepted_in + sleep * STEPS as u32 })
    }

    async fn end(self, name: &str, client: &Client, killed: Instant) -> Result<()> {
        let mut connection = Connection::open(&client.address).await?;
        let up = killed.elapsed();
        while client.any_open(&mut connection).await? {
            if killed.elapsed() > GIVE_UP {
                return Err(format!("{name}: not all have ended {GIVE_UP:?} after the kill").into());
            }
            tokio::time::sleep(LOOK).await;
        }
        let (ended, over) = (killed.elapsed(), Instant::now().saturating_duration_since(self.ideal));
        for id in &self.ids {
            client.finished(&mut connection, Workload::Slow, id).await.map_err(|fault| format!("{name}: {fault}"))?;
        }
        println!(
            "  {name:<26} {} of {IN_FLIGHT} succeeded; accepted in {:.2} s, serves again after {:.2} s, all ended {:.2} s \
             after the kill, {:.2} s over the ideal",
            self.ids.len(),
            self.accepted_in.as_secs_f64(),
            up.as_secs_f64(),
            ended.as_secs_f64(),
            over.as_secs_f64()
        );
        Ok(())
    }
}
