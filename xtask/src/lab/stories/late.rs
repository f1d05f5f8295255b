//! A tracer that was started after the connection: the kernel remembers what the tracer has not seen.

use anyhow::Result;

use super::super::connection::Connection;
use super::super::net::{Family, Net};
use super::super::scenarios::IDLE;
use super::super::tracer::Tracer;
use super::super::wait::let_pass;
use super::stage::Stage;

pub(super) fn close_unread(_: &Tracer, family: Family) -> Result<()> {
    late(family, super::close_unread, "B-unacked")
}

pub(super) fn request_after_fin(_: &Tracer, family: Family) -> Result<()> {
    late(family, super::request_after_fin, "A2")
}

fn late(family: Family, race: fn(&mut Connection) -> Result<()>, like: &str) -> Result<()> {
    let net = Net::build(family)?;
    let stage = Stage::set(&net)?;
    let mut connection = Connection::open(&net)?;
    connection.exchange()?;
    let tracer = Tracer::start()?;
    let_pass(IDLE);
    race(&mut connection)?;
    stage.end(&tracer, &connection, like)?;
    tracer.stop()
}
