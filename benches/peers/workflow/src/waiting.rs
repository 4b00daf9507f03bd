//! What workflows cost that wait for a signal: memory, and processor time while nothing happens.
use std::time::Duration;

use crate::Result;
use crate::client::{Client, Trips, Workload};
use crate::dsmil::Dsmil;
use crate::http::Connection;
use crate::process::{family, processor_time, resident};

/// As many as the service takes by default.
const WAITING: usize = 10_000;
const SUBMITTERS: usize = 32;
const SETTLE: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(10);

pub async fn wait(dsmil: &Dsmil) -> Result<()> {
    println!("\n{WAITING} workflows that wait for a signal");
    let client = dsmil.client(Trips::Two)?;
    // What the first runs set up for good is not part of what one costs.
    submit(&client, Workload::Sequence, 1_000).await?;
    let before = look(dsmil).await?;
    submit(&client, Workload::Waiting, WAITING).await?;
    let with = look(dsmil).await?;
    println!("  {:<26} {:>8} {:>22} {:>22}", "", "RSS, MB", "service, % of a core", "PostgreSQL, % of a core");
    for (name, cost) in [("none of them", &before), ("with them", &with)] {
        println!("  {name:<26} {:>8.1} {:>22.2} {:>22.2}", cost.megabytes, cost.service, cost.others);
    }
    println!(
        "  {:<26} {:>8.1} {:>22.2} {:>22.2}",
        "difference",
        with.megabytes - before.megabytes,
        with.service - before.service,
        with.others - before.others
    );
    Ok(())
}

async fn submit(client: &Client, workload: Workload, count: usize) -> Result<()> {
    let all = (0..SUBMITTERS).map(|place| async move {
        let mut connection = Connection::open(&client.address).await?;
        for _ in (place..count).step_by(SUBMITTERS) {
            let id = client.submit(&mut connection, workload).await?;
            if workload != Workload::Waiting {
                client.finished(&mut connection, workload, &id).await?;
            }
        }
        Ok::<_, std::io::Error>(())
    });
    futures_util::future::try_join_all(all).await.map(drop)?;
    Ok(())
}

struct Cost {
    megabytes: f64,
    service: f64,
    others: f64,
}

/// What the service costs once it has come to rest.
async fn look(dsmil: &Dsmil) -> Result<Cost> {
    tokio::time::sleep(SETTLE).await;
    let service = dsmil.pid().ok_or("the service does not run")?;
    let others: Vec<i32> = family(service).into_iter().filter(|pid| *pid != service).collect();
    let used = || Ok::<_, std::io::Error>((processor_time(&[service])?, processor_time(&others)?));
    let before = used()?;
    tokio::time::sleep(IDLE).await;
    let after = used()?;
    let share = |before: Duration, after: Duration| (after - before).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    Ok(Cost {
        megabytes: resident(service)? as f64 / 1e6,
        service: share(before.0, after.0),
        others: share(before.1, after.1),
    })
}
