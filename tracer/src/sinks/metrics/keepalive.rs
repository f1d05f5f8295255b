//! What is inferred of servers: values that come and go.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};
use tracer_core::{keepalive::Review, model::Role};

use super::{register::gauges, servers::Servers};

/// The gauges of what is inferred. A series is there while its inference stands.
pub(super) struct Keepalive {
    timeout: GaugeVec,
    samples: IntGaugeVec,
    advice: IntGaugeVec,
    shown: Mutex<Shown>,
}

/// The label values of the series that are there.
#[derive(Default)]
struct Shown {
    timeouts: HashSet<[String; 2]>,
    advice: HashSet<[String; 4]>,
}

impl Keepalive {
    /// Registers them; there are no series yet.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options = Opts::new(
            "tracer_keepalive_timeout_seconds",
            "After how long a server closes idle connections, as inferred from its closes; absent while it cannot be.",
        );
        let timeout = GaugeVec::new(options, &["role", "server"])?;
        registry.register(Box::new(timeout.clone()))?;
        Ok(Self {
            timeout,
            samples: gauges(
                registry,
                "tracer_keepalive_timeout_samples",
                "Closes that agree with tracer_keepalive_timeout_seconds.",
                &["role", "server"],
            )?,
            advice: gauges(
                registry,
                "tracer_advice",
                "1 while there is advice on a server: see /api/v1/advice.",
                &["role", "server", "kind", "severity"],
            )?,
            shown: Mutex::default(),
        })
    }

    /// Shows what stands now, and nothing else. Servers without a label of their own are left out.
    pub(super) fn show(&self, review: &Review, servers: &Servers) {
        let label =
            |role: Role, server| Some([role.name().to_owned(), servers.own_label(role, server)?.to_owned()]);
        let mut now = Shown::default();
        for (&(role, server), timeout) in &review.timeouts {
            let Some(labels) = label(role, server) else { continue };
            self.timeout.with_label_values(&labels).set(timeout.value.as_secs_f64());
            self.samples.with_label_values(&labels).set(i64::try_from(timeout.samples).unwrap_or(i64::MAX));
            now.timeouts.insert(labels);
        }
        for &(role, server, advice) in &review.advice {
            let Some([role, server]) = label(role, server) else { continue };
            let labels = [role, server, advice.kind().to_owned(), advice.severity().to_owned()];
            self.advice.with_label_values(&labels).set(1);
            now.advice.insert(labels);
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // A series that was shown is there to be removed.
        for labels in shown.timeouts.difference(&now.timeouts) {
            let _ = self.timeout.remove_label_values(labels);
            let _ = self.samples.remove_label_values(labels);
        }
        for labels in shown.advice.difference(&now.advice) {
            let _ = self.advice.remove_label_values(labels);
        }
        *shown = now;
    }
}
