//! `GET /compute`: the worker pool, and what the processor can do.
use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::api::compute as shape;
use crate::compute::cpu;
use crate::messages::compute::{GetPoolStatus, PoolStatus};
use crate::messages::port::Port;
use crate::web::error::ApiError;

/// What this route needs.
#[derive(Clone)]
pub struct Compute {
    pub status: Port<GetPoolStatus>,
}

pub async fn show(deps: Data<Compute>) -> Result<HttpResponse, ApiError> {
    let PoolStatus { workers, at_work, waiting_jobs, waiting_bytes, jobs, batches, messages, bytes, again } =
        deps.status.ask(GetPoolStatus).await?;
    let cpu = processor();
    let pool =
        shape::Pool { workers, at_work, waiting_jobs, waiting_bytes, jobs, batches, messages, bytes, again, cpu };
    Ok(HttpResponse::Ok().json(pool))
}

fn processor() -> shape::Cpu {
    let features = cpu::usable();
    let names = |wanted: bool| -> Vec<String> {
        features.iter().filter(|(_, usable)| *usable == wanted).map(|(name, _)| (*name).to_owned()).collect()
    };
    shape::Cpu {
        level: cpu::level(&features).to_owned(),
        features: names(true),
        missing: names(false),
        kernels: cpu::kernels(&features),
    }
}

#[cfg(test)]
mod tests {
    use crate::web::asked::{ask, request};
    use crate::web::fakes::edges;

    #[actix_web::test]
    async fn the_pool_is_shown_with_the_processor_it_runs_on() {
        let answer = ask(edges(), request("GET /api/v1/compute")).await;
        let shape = answer.json();
        assert_eq!((answer.status, shape["workers"].as_u64()), (200, Some(3)));
        assert_eq!(shape["cpu"]["kernels"][0]["operation"], "sha256");
        assert!(shape["cpu"]["level"].as_str().is_some_and(|level| !level.is_empty()));
    }
}
