//! What is inferred of servers: values that come and go.

use hashbrown::HashSet;
use tracer_core::keepalive::Review;

use super::{
    families::{KeepaliveTimeout, KeepaliveTimeoutSamples, StandingAdvice},
    family::{Family, Labels, Publisher, Standing},
};
use crate::server_labels::Servers;

/// The gauges of what is inferred. A series is there while its inference stands.
pub(super) struct Keepalive {
    timeout: Family<KeepaliveTimeout>,
    samples: Family<KeepaliveTimeoutSamples>,
    advice: Family<StandingAdvice>,
}

impl Keepalive {
    pub(super) fn new(publisher: &Publisher) -> Self {
        Self {
            timeout: Family::new(publisher),
            samples: Family::new(publisher),
            advice: Family::new(publisher),
        }
    }

    /// Shows what stands now, and nothing else. Servers without a label of their own are left out.
    #[expect(clippy::cast_precision_loss, reason = "no server closes 2^53 connections")]
    pub(super) fn show(&mut self, review: &Review, servers: &Servers) {
        let timeouts = review.timeouts.iter().filter_map(|(&(role, server), timeout)| {
            Some((role.name(), servers.own_label(role, server)?, timeout))
        });
        let timeouts: Vec<_> = timeouts.collect();
        show(
            &mut self.timeout,
            timeouts.iter().map(|&(role, server, timeout)| {
                (KeepaliveTimeout { role, server }, timeout.lower.as_secs_f64())
            }),
        );
        show(
            &mut self.samples,
            timeouts.iter().map(|&(role, server, timeout)| {
                (KeepaliveTimeoutSamples { role, server }, timeout.samples as f64)
            }),
        );
        show(
            &mut self.advice,
            review.advice.iter().filter_map(|&(role, server, advice)| {
                let server = servers.own_label(role, server)?;
                let (kind, severity) = (advice.kind(), advice.severity());
                Some((StandingAdvice { role: role.name(), server, kind, severity }, 1.0))
            }),
        );
    }
}

/// Shows these series, and hides all others.
fn show<L: Labels<Value = Standing>>(family: &mut Family<L>, standing: impl Iterator<Item = (L, f64)>) {
    let mut shown = HashSet::new();
    for (labels, value) in standing {
        family.with(labels.clone()).show(value);
        shown.insert(labels);
    }
    family.iter().filter(|(labels, _)| !shown.contains(*labels)).for_each(|(_, gauge)| gauge.hide());
}
