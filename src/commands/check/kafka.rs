//! `check --forward-kafka`: the broker, each stream's topic, where its cursor stands, and what is known about the right to write.

use std::time::Instant;

use serde::Serialize;

use super::State;
use crate::archive::Location;
use crate::commands::outcome::log_problems;
use crate::config::KafkaSettings;
use crate::forward::kafka::{CursorProbe, Probe, probe};
use crate::output::logging::Verbosity;
use crate::output::table::{Cell, Table, left, right};

/// The check of Kafka.
#[derive(Debug, Serialize)]
pub(super) struct KafkaCheck {
    sink: &'static str,
    state: State,
    problems: Vec<String>,
    notice: Option<&'static str>,
    server: String,
    brokers: usize,
    milliseconds: u64,
    topics: Vec<TopicCheck>,
}

/// The check of one stream's topic.
#[derive(Debug, Serialize)]
struct TopicCheck {
    stream: &'static str,
    state: State,
    problem: Option<String>,
    topic: String,
    partitions: usize,
    cursor: Option<CursorProbe>,
}

impl KafkaCheck {
    /// Asks the broker for the topics of these streams.
    pub(super) async fn run(settings: KafkaSettings, streams: Vec<(&'static str, Option<Location>)>) -> Self {
        let server = settings.server.clone();
        let started = Instant::now();
        let asked = tokio::task::spawn_blocking(move || probe(&settings, &streams));
        let probe = asked.await.unwrap_or_else(|_| Probe {
            problems: vec!["an internal error: the check of Kafka panicked; please report it".to_owned()],
            ..Probe::default()
        });
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Self::of(probe, server, milliseconds)
    }

    fn of(probe: Probe, server: String, milliseconds: u64) -> Self {
        let topics = probe.topics.into_iter().map(|topic| TopicCheck {
            stream: topic.stream,
            state: State::of(topic.problem.is_none()),
            problem: topic.problem,
            topic: topic.topic,
            partitions: topic.partitions,
            cursor: topic.cursor,
        });
        let topics: Vec<_> = topics.collect();
        let is_ok = probe.problems.is_empty() && topics.iter().all(|topic| topic.problem.is_none());
        Self {
            sink: "kafka",
            state: State::of(is_ok),
            problems: probe.problems,
            notice: probe.notice,
            server,
            brokers: probe.brokers,
            milliseconds,
            topics,
        }
    }

    pub(super) fn is_ok(&self) -> bool {
        self.state == State::Ok
    }

    /// Returns what is wrong with a stream's topic.
    fn problems_of_topics(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let topics = self.topics.iter();
        topics.filter_map(|topic| Some((topic.stream, topic.problem.as_ref()?)))
    }

    /// Logs, with `-q`, what does not work.
    pub(super) fn log_problems(&self, verbosity: Verbosity) {
        for problem in self.problems.iter().filter(|_| verbosity.quiet) {
            tracing::error!(sink = self.sink, "{problem}");
        }
        for (stream, problem) in self.problems_of_topics() {
            log_problems(verbosity, stream, [problem]);
        }
    }

    /// Returns a row for each topic, and sentences below them.
    pub(super) fn text(&self, with_colours: bool) -> String {
        let mut table =
            Table::new([left("STREAM"), left("STATE"), left("TOPIC"), right("PARTITIONS")]).with_colours(with_colours);
        for topic in &self.topics {
            let partitions = topic.partitions.to_string();
            table.row([
                Cell::from(topic.stream),
                topic.state.cell(),
                topic.topic.as_str().into(),
                partitions.into(),
            ]);
        }
        let mut text = if table.is_empty() {
            String::new()
        } else {
            format!("\nKafka at {}, {} brokers:\n\n{table}", self.server, self.brokers)
        };
        for (stream, problem) in self.problems_of_topics() {
            text.push_str(&format!("{stream}: {problem}\n"));
        }
        for topic in &self.topics {
            if let Some(CursorProbe { file, offset, waiting }) = &topic.cursor {
                text.push_str(&format!(
                    "{}: its cursor in Kafka stands at byte {offset} of {file}, and {waiting} lines wait\n",
                    topic.stream
                ));
            }
        }
        let sentences = self.problems.iter().map(String::as_str).chain(self.notice);
        sentences.for_each(|sentence| text.push_str(&format!("kafka: {sentence}\n")));
        text
    }
}
