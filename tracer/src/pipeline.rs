//! From the ring's bytes to everything users see: the engine says what they mean, the sinks count, print and keep it.

use std::{io, time::Instant};

use tracer_core::{
    Engine, Outcome,
    classify::{ExplainedIncident, IncidentView},
    decode::Malformed,
    keepalive::Review,
    model::{KernelNs, WallClock},
};

use crate::{
    config::SinkOptions,
    kernel::requests::LateMarks,
    query::Query,
    sinks::{
        metrics::{Exposition, Metrics},
        recent::Recent,
        recording::Recorder,
        stdout::Stdout,
    },
    writer::WhenFull,
};

/// The engine, and where its outcomes go; one task owns it.
pub struct Pipeline {
    /// The core.
    pub engine: Engine,
    /// The metrics sink.
    pub metrics: Metrics,
    /// The stdout sink.
    pub stdout: Stdout,
    /// The sink of the latest incidents.
    pub recent: Recent,
    /// How late reuses come, if the kernel side counts requests.
    pub marks: Option<LateMarks>,
    /// The recording of the records that come in.
    pub recorder: Option<Recorder>,
    /// Translates kernel times to wall-clock time.
    pub clock: WallClock,
}

impl Pipeline {
    /// The engine with its sinks, and what is scraped. A recording, and what the kernel side counts, come from outside.
    pub fn start(
        engine: Engine,
        sinks: &SinkOptions,
        when_full: WhenFull,
        clock: WallClock,
    ) -> io::Result<(Self, Exposition)> {
        let (metrics, exposition) = Metrics::new(sinks.max_series);
        let pipeline = Self {
            engine,
            metrics,
            stdout: Stdout::start(sinks.events, when_full)?,
            recent: Recent::new(sinks.recent),
            marks: None,
            recorder: None,
            clock,
        };
        Ok((pipeline, exposition))
    }

    /// Takes one record of the ring; one that cannot be read is counted.
    pub fn record(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(bytes);
        }
        let taken = self.engine.record(bytes);
        self.metrics.observe_event(taken.ok());
        taken.map(|_| ())
    }

    /// Lets time pass and passes on what is ready.
    pub fn advance(&mut self, now: KernelNs) {
        self.engine.advance(now);
        self.publish();
    }

    /// When [`Self::advance`] next has something to do.
    #[must_use]
    pub fn next_due(&self) -> Option<KernelNs> {
        self.engine.next_due()
    }

    /// Answers a question; the one who asked may be gone.
    pub fn answer(&mut self, query: Query, now: KernelNs) {
        match query {
            Query::Incidents { filter, limit, answer } => {
                drop(answer.send(self.recent.newest(limit, |incident| filter.lets_through(incident))));
            }
            Query::Servers { limit, answer } => drop(answer.send(self.engine.servers(limit))),
            Query::Advice { limit, answer } => drop(answer.send(self.engine.advice(limit, self.clock))),
            Query::Labels { servers, answer } => {
                let labels = self.metrics.labels(&servers, now);
                // Before whoever asked looks which series there are.
                self.metrics.publish();
                drop(answer.send(labels));
            }
        }
    }

    /// Passes on everything that is held, at the end.
    pub fn finish(&mut self) {
        self.engine.finish();
        self.publish();
    }

    /// Waits for those who write, until `deadline` at most where they must not be waited for.
    pub fn close(&self, deadline: Instant) {
        // All at once first, so that each has all the time there is.
        self.stdout.close();
        self.recorder.iter().for_each(Recorder::close);
        self.stdout.finish(deadline);
        self.recorder.iter().for_each(|recorder| recorder.finish(deadline));
    }

    /// Shows what has come out so far.
    pub fn publish(&mut self) {
        for outcome in self.engine.outcomes() {
            match outcome {
                Outcome::Incident(incident) => self.incident(&incident),
                Outcome::FurtherSegment { id } => self.recent.add_segment(id),
                Outcome::IdleClose(close, idle) => self.metrics.observe_idle_close(&close, idle),
            }
        }
        self.stdout.flush();
        self.metrics.count_lines_lost(self.stdout.lost());
        if let Some(recorder) = &self.recorder {
            recorder.flush();
            self.metrics.count_records_lost(recorder.lost());
        }
        self.metrics.show_connections(self.engine.connections());
        self.metrics.publish();
    }

    fn incident(&mut self, incident: &ExplainedIncident) {
        self.metrics.observe_incident(incident);
        let view = IncidentView::new(incident, self.clock);
        self.stdout.print(&view);
        self.recent.push(view);
    }

    /// Shows what has been inferred of servers, at most once a second: `None` in between.
    pub fn review(&mut self, now: KernelNs) -> Option<Review> {
        let review = self.engine.review(now)?;
        self.metrics.show_review(&review);
        self.metrics.publish();
        if let Some(marks) = &mut self.marks {
            let late =
                review.timeouts.iter().map(|(&(role, server), known)| (role, server, known.lower * 4 / 5));
            self.engine.reuses(&marks.follow(late));
        }
        Some(review)
    }
}
