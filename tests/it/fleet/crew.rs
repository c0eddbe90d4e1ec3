//! Members that are the program itself, and the services that they collect from.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use trailkeeper::json;
use trailkeeper::sandbox::{Action, Answer, Api, Sandbox, Seen, Step, When};

use super::storm::Fleet;
use crate::kafka::broker::Broker;
use crate::support::{Catalog, Run, at, event, events, serve};

/// The streams of each organization, with the topic of all.
pub(super) const STREAMS: [(Api, &str); 3] = [
    (Api::Mail, "audit-mail"),
    (Api::Tfc, "audit-tfc"),
    (Api::Port, "audit-port"),
];

/// How many buckets the fleet has: fewer than organizations, more than members.
const BUCKETS: &str = "8";

/// That which members have by themselves.
const SESSION: Duration = Duration::from_secs(10);

/// So that members are soon back after an outage.
const PROPERTIES: &str = "reconnect.backoff.max.ms=200";

/// A fleet of the program: a service for each organization, and the folder with their settings.
pub(super) struct Crew {
    pub(super) catalog: Catalog,
    services: BTreeMap<String, Sandbox>,
    session: Duration,
    is_calm: Arc<AtomicBool>,
}

impl Crew {
    /// Organizations whose services have no records yet; the topics are there, those of the fleet as `fleet init` makes them.
    pub(super) fn new(broker: &Broker, organizations: usize) -> Self {
        let catalog = Catalog::bare()
            .with("KAFKA_SERVER", broker.address())
            .with("KAFKA_PROPERTIES", PROPERTIES)
            .with("FLEET_ID", "fleet")
            .with("FLEET_BUCKETS", BUCKETS);
        for (_, topic) in STREAMS {
            broker.ask(&format!("create {topic} 3"));
            broker.ask(&format!("config {topic} message.timestamp.type LogAppendTime"));
        }
        let folder = catalog.root().join("env");
        fs::create_dir(&folder).unwrap();
        let topics = STREAMS.map(|(api, topic)| format!("{}_KAFKA_TOPIC={topic}\n", prefix(api)));
        fs::write(
            folder.join("common.env"),
            topics.concat() + "RETRY_DELAY_SECONDS=0.01\n",
        )
        .unwrap();
        let mut services = BTreeMap::new();
        for number in 0..organizations {
            let name = format!("org{number:02}");
            // Less than what a round brings, so that there is more than a page of it.
            let service = serve(|mut options| {
                options[Api::Tfc].page_cap = Some(9);
                options[Api::Port].page_cap = Some(20);
                options
            });
            let variables = service.variables().into_iter();
            let lines = variables.map(|(name, value)| format!("{name}={value}\n"));
            fs::write(folder.join(format!("{name}.env")), lines.collect::<String>()).unwrap();
            services.insert(name, service);
        }
        let crew = Self {
            catalog,
            services,
            session: SESSION,
            is_calm: Arc::default(),
        };
        let init = crew.run(&["init"]);
        assert_eq!(init.code, 0, "{}", init.stderr);
        crew
    }

    /// The same with members that stay in the group for so long without a heartbeat.
    pub(super) fn with_session(mut self, session: Duration) -> Self {
        self.session = session;
        let properties = format!("{PROPERTIES},session.timeout.ms={}", session.as_millis());
        self.catalog.set("KAFKA_PROPERTIES", properties);
        self
    }

    /// Has all services fail now and then, until all is calm, each in its own way: refuse, break off, say nothing, ask for patience, be behind.
    pub(super) fn with_troubles(self) -> Self {
        let troubles = [
            (5, Action::Close),
            (7, Action::Answer(Answer::json(503, "{}"))),
            (11, Action::CutBody(40)),
            (13, Action::TooManyRequests(Duration::from_millis(100))),
            (17, Action::Lag(TimeDelta::seconds(20))),
        ];
        for service in self.services.values() {
            for (nth, trouble) in troubles.clone() {
                let is_over = self.is_calm.clone();
                let is_nth = move |seen: &Seen| seen.number.is_multiple_of(nth) && !is_over.load(Ordering::Relaxed);
                service.step(Step::new(When::Picked(Arc::new(is_nth)), trouble));
            }
        }
        self
    }

    /// Whether each stream has been asked for.
    pub(super) fn are_all_asked(&self) -> bool {
        let mut services = self.services.values();
        services.all(|service| STREAMS.iter().all(|(api, _)| service.request_count(*api) > 0))
    }

    /// The tokens.
    pub(super) fn secrets(&self) -> Vec<String> {
        let variables = self.services.values().flat_map(Sandbox::variables);
        let tokens = variables.filter(|(name, _)| name.contains("TOKEN"));
        tokens.map(|(_, token)| token).collect()
    }

    /// Runs `fleet` with these arguments to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Run {
        let folder = self.catalog.root().join("env");
        let arguments = [&["fleet"], arguments, &["--env-dir", folder.to_str().unwrap()]].concat();
        self.catalog.run(&arguments)
    }

    /// Has a service give records before there is a member; the lines that they have to become.
    pub(super) fn begin_with(&self, organization: &str, count: i64) -> Vec<String> {
        // Of mail, which gives a hundred in an answer.
        let (api, _) = STREAMS[0];
        let mut records = events(api, count, 30);
        for record in &mut records {
            *record = event(api, record.time, &format!("{organization}-first-{}", record.id));
        }
        let lines = records.iter().map(|record| line(&record.text)).collect();
        self.services[organization].add(api, records);
        lines
    }

    /// The service of an organization.
    pub(super) fn service(&self, organization: &str) -> &Sandbox {
        &self.services[organization]
    }
}

pub(super) fn prefix(api: Api) -> &'static str {
    match api {
        Api::Mail => "MAIL",
        Api::Tfc => "TFC",
        Api::Port => "PORT",
        other => panic!("no stream of these tests: {other:?}"),
    }
}

/// The line that a record has to become.
fn line(text: &str) -> String {
    let mut line = String::new();
    json::scan(text, &[], &mut line).unwrap();
    line
}

impl Fleet for Crew {
    fn member(&self) -> Command {
        let folder = self.catalog.root().join("env");
        let folder = folder.to_str().unwrap();
        self.catalog
            .command(&["fleet", "run", "--interval", "1s", "--env-dir", folder])
    }

    fn session(&self) -> Duration {
        self.session
    }

    fn organizations(&self) -> Vec<String> {
        self.services.keys().cloned().collect()
    }

    fn topics(&self) -> Vec<String> {
        STREAMS.map(|(_, topic)| topic.to_owned()).to_vec()
    }

    fn calm(&self) {
        self.is_calm.store(true, Ordering::Relaxed);
    }

    fn give(&mut self, organization: &str, id: &str, seconds_ago: i64) -> String {
        self.give_record(organization, id, seconds_ago)
    }
}

impl Crew {
    /// The settings of an organization.
    pub(super) fn settings_of(&self, organization: &str) -> String {
        fs::read_to_string(self.catalog.root().join(format!("env/{organization}.env"))).unwrap()
    }

    /// Has a service give a new record; the line that it has to become.
    pub(super) fn give_now(&self, organization: &str, id: &str) -> String {
        self.give_record(organization, id, 0)
    }

    fn give_record(&self, organization: &str, id: &str, seconds_ago: i64) -> String {
        let sum: usize = id.bytes().map(usize::from).sum();
        let (api, _) = STREAMS[sum % STREAMS.len()];
        let record = event(api, at(seconds_ago), id);
        let line = line(&record.text);
        self.services[organization].add(api, vec![record]);
        line
    }
}
