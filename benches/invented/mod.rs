//! Invented records as the services write them: flat mail of 620 bytes and disk of 480, the unified audit log of Yandex 360 of
//! 480, audit trails of HCP Terraform of 540, and Port's of 4 100, which hold an entity before and after its change.
//!
//! Imports: nothing.

use std::fmt::Write;

/// Makes a record of a service.
pub(crate) type Recipe = fn(&mut Random) -> String;

/// Numbers that are the same in each run.
#[derive(Debug)]
pub(crate) struct Random {
    state: u64,
    /// The time of the next record, if it is given.
    time: Option<String>,
}

impl Random {
    /// Those of a seed; the times of the records are of any day of a month.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            time: None,
        }
    }

    /// Returns a record of this time.
    pub(crate) fn record_at(&mut self, recipe: Recipe, time: String) -> String {
        self.time = Some(time);
        recipe(self)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn words(&mut self, count: u64) -> String {
        let words: Vec<&str> = (0..count).map(|_| self.of(&WORDS)).collect();
        words.join(" ")
    }

    /// Returns the time of a record: that which is given, or any.
    fn record_time(&mut self) -> String {
        self.time.take().unwrap_or_else(|| self.time())
    }

    fn time(&mut self) -> String {
        let (hour, minute, second) = (self.below(24), self.below(60), self.below(60));
        format!(
            "2025-06-{:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
            1 + self.below(28),
            self.below(1_000)
        )
    }

    fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }
}

const WORDS: [&str; 24] = [
    "invoice",
    "for",
    "the",
    "second",
    "quarter",
    "of",
    "payments",
    "gateway",
    "owner",
    "is",
    "platform",
    "and",
    "runs",
    "behind",
    "a",
    "load",
    "balancer",
    "отчёт",
    "за",
    "апрель",
    "deployed",
    "every",
    "night",
    "weekly",
];
const PEOPLE: [&str; 6] = ["a.petrova", "b.sato", "c.nguyen", "d.okafor", "e.lindqvist", "f.moreau"];
const LANGUAGES: [&str; 5] = ["TypeScript", "Go", "Python", "Rust", "Kotlin"];
const BLUEPRINTS: [&str; 4] = ["service", "microservice", "environment", "deployment"];

/// Of the mail log of Yandex 360.
pub(crate) fn mail(random: &mut Random) -> String {
    let kind = random.of(&[
        "message_receive",
        "mailbox_send",
        "message_seen",
        "message_trash",
        "message_move",
    ]);
    let (user, other) = (random.of(&PEOPLE), random.of(&PEOPLE));
    let (subject_words, id) = (5 + random.below(10), random.next());
    let (time, subject) = (random.record_time(), random.words(subject_words));
    let labels = random.of(&["", "", r#""важное""#, r#""seen","priority""#]);
    let folder = random.of(&["Inbox", "Sent", "Входящие", "Archive"]);
    let user_uid = 1_130_000_000_000_000 + random.below(1_000_000);
    let (mid, request) = (random.next() >> 1, random.next());
    let (address, folder_type) = (random.below(65_536), random.of(&["inbox", "sent", "archive"]));
    let cc = if random.below(3) == 0 {
        "team@example.org, second@example.org"
    } else {
        ""
    };
    format!(
        r#"{{"eventType":"{kind}","date":"{time}","orgId":1000001,"userUid":"{user_uid}","userLogin":"{user}@example.org","userName":"Анна Петрова","requestId":"{request:x}","uniqId":"{id}","source":"server","mid":"{mid}","folderName":"{folder}","folderType":"{folder_type}","labels":[{labels}],"msgId":"<{id:x}@mail.example.org>","subject":"{subject}","from":"{other}@example.org","to":"{user}@example.org","cc":"{cc}","bcc":"","clientIp":"2001:db8::{address:x}"}}"#
    )
}

/// Of the disk log of Yandex 360.
pub(crate) fn disk(random: &mut Random) -> String {
    let kind = random.of(&[
        "fs-store",
        "fs-mkdir",
        "fs-trash-append",
        "fs-move",
        "share-invite-user",
    ]);
    let (user, owner) = (random.of(&PEOPLE), random.of(&PEOPLE));
    let (words, size) = (1 + random.below(5), random.below(40_000_000));
    let (time, changed, path) = (random.record_time(), random.time(), random.words(words));
    let (user_uid, owner_uid) = (random.below(1_000_000), random.below(1_000_000));
    let (id, file, request, address) = (random.next(), random.next(), random.next(), random.below(65_536));
    format!(
        r#"{{"eventType":"{kind}","date":"{time}","orgId":1000001,"userUid":"1130000{user_uid:09}","userLogin":"{user}@example.org","userName":"Анна Петрова","ownerUid":"1130000{owner_uid:09}","ownerLogin":"{owner}@example.org","ownerName":"Bob Sato","resourceFileId":"{file}","path":"/disk/Общая папка/{path}.xlsx","size":"{size}","lastModificationDate":"{changed}","rights":"","requestId":"{request:x}","uniqId":"{id}","clientIp":"2001:db8::{address:x}"}}"#
    )
}

/// Of the unified audit log of Yandex 360.
pub(crate) fn yandex_audit(random: &mut Random) -> String {
    let kind = random.of(&[
        "id_cookie.set",
        "id_device_token.issued",
        "id_nondevice_token.issued",
        "id_app_password.login",
    ]);
    let (user, service, status) = (
        random.of(&PEOPLE),
        random.of(&["ID", "Mobile", "Api"]),
        random.of(&["Success", "Success", "Failure"]),
    );
    let (time, expires, id, request) = (random.record_time(), random.time(), random.uuid(), random.next());
    let (user_uid, address, device) = (random.below(1_000_000), random.below(65_536), random.next());
    format!(
        r#"{{"event":{{"org_id":1000001,"uid":1130000000{user_uid:06},"type":"{kind}","service":"{service}","status":"{status}","ip":"2001:db8::{address:x}/128","occurred_at":"{time}","request_id":"{request:016x}","idempotency_id":"{id}","is_system":false,"meta":{{"device_id":"{device:016x}","device_name":"Телефон","expires_at":"{expires}"}}}},"user_login":"{user}@example.org","user_name":"Анна Петрова"}}"#
    )
}

/// Of HCP Terraform.
pub(crate) fn terraform(random: &mut Random) -> String {
    let (id, request, time) = (random.uuid(), random.uuid(), random.record_time());
    let (user, run) = (random.below(900), random.next());
    let impersonator = if random.below(8) == 0 { r#""user-9""# } else { "null" };
    let (kind, action) = (
        random.of(&["run", "workspace", "authentication_token", "policy_check"]),
        random.of(&["create", "plan", "apply", "update"]),
    );
    let meta = match random.below(4) {
        0 => "null".to_owned(),
        1 => format!(r#"{{"workspace":"billing-prod","message":"{}"}}"#, random.words(12)),
        2 => format!(
            r#"{{"workspace":{{"id":"ws-{user}","name":"billing-prod"}},"organization":{{"id":"org-1","name":"example"}},"cost":{}.{},"serial":{run}}}"#,
            random.below(900),
            random.below(100)
        ),
        _ => format!(
            r#"{{"name":"network","description":"{}","tags":["a","prod","{user}"]}}"#,
            random.words(11)
        ),
    };
    format!(
        r#"{{"id":"{id}","version":"0","type":"Resource","timestamp":"{time}","auth":{{"accessor_id":"user-{user}","description":"{}@example.org","type":"Client","impersonator_id":{impersonator},"organization_id":"org-1"}},"request":{{"id":"{request}"}},"resource":{{"id":"run-{run:016x}","type":"{kind}","action":"{action}","meta":{meta}}}}}"#,
        random.of(&PEOPLE)
    )
}

/// Of Port.
pub(crate) fn port(random: &mut Random) -> String {
    let (id, time) = (random.next(), random.record_time());
    let (blueprint, entity) = (random.of(&BLUEPRINTS), random.below(4_000));
    let (before, after) = entities(random, blueprint, entity);
    let (action, before) = match random.below(10) {
        0 => ("CREATE", "null".to_owned()),
        _ => ("UPDATE", before),
    };
    let user = random.below(40);
    format!(
        r#"{{"identifier":"event_{id:016x}","action":"{action}","resourceType":"entity","status":"SUCCESS","trigger":{{"at":"{time}","by":{{"orgId":"org_1","userId":"auth0|{user}"}},"origin":"UI"}},"context":{{"blueprint":"{blueprint}","entity":"{blueprint}-{entity}"}},"additionalData":{{}},"diff":{{"before":{before},"after":{after}}}}}"#
    )
}

/// Returns an entity before and after a change of a few of its members.
fn entities(random: &mut Random, blueprint: &str, entity: u64) -> (String, String) {
    let mut properties = String::new();
    let language = random.of(&LANGUAGES);
    let (description, coverage) = (random.words(12), random.below(100));
    let _ = write!(
        properties,
        r#""language":"{language}","description":"{description}","coverage":{coverage},"bugs":0,"openIssues":{coverage},"size":"M","isArchived":false,"locked":null,"stars":{coverage},"url":"https://git.example.org/{blueprint}/{entity}","tier":"{}","lifecycle":"production","onCall":"{}@example.org","slack":"https://example.slack.com/archives/C0{entity}","replicas":{},"costPerMonth":{}.{},"isPublic":{},"sentryUrl":null,"dashboard":"https://grafana.example.org/d/{entity}/{blueprint}?orgId=1&refresh=30s","jira":"PAY-{entity}","tags":["{language}","payments","eu-central-1"]"#,
        random.of(&["Mission Critical", "Customer Facing", "Internal Service"]),
        random.of(&PEOPLE),
        random.below(64),
        random.below(900),
        random.below(100),
        random.below(2) == 0,
    );
    if blueprint != "environment" {
        let (commit, pods) = (random.next(), random.below(30));
        let _ = write!(
            properties,
            r#","deployment":{{"commit":"{commit:016x}","image":"registry.example.org/{blueprint}:{pods}","resources":{{"cpu":"{pods}00m","memory":"512Mi","limits":{{"cpu":"2","memory":"1Gi"}}}},"ports":[{{"name":"http","port":8080,"protocol":"TCP"}},{{"name":"metrics","port":9090,"protocol":"TCP"}}],"env":[{{"name":"LOG","value":"info"}},{{"name":"REGION","value":"eu-1"}},{{"name":"PODS","value":{pods}}}],"volumes":[],"weights":[1,2,{pods},40],"healthy":true}}"#
        );
    }
    let (dependency, created) = (random.below(4_000), random.time());
    let (updated, updated_again) = (random.time(), random.time());
    let (score, better) = (random.below(100), random.below(100));
    let scorecards = r#"{"security":{"level":"Gold","rules":[{"identifier":"has-owner","status":"SUCCESS","level":"Bronze"},{"identifier":"no-criticals","status":"SUCCESS","level":"Silver"},{"identifier":"no-secrets","status":"SUCCESS","level":"Gold"},{"identifier":"branches","status":"FAILURE","level":"Gold"},{"identifier":"coverage","status":"FAILURE","level":"Gold"}]},"readiness":{"level":"Silver","rules":[{"identifier":"has-runbook","status":"SUCCESS","level":"Bronze"},{"identifier":"has-slo","status":"FAILURE","level":"Silver"},{"identifier":"paged","status":"SUCCESS","level":"Gold"}]}}"#;
    let whole = |updated: &str, score: u64| {
        format!(
            r#"{{"identifier":"{blueprint}-{entity}","title":"{blueprint} {entity}","icon":"Microservice","blueprint":"{blueprint}","team":["platform","payments"],"properties":{{{properties},"score":{score}}},"relations":{{"depends_on":["{blueprint}-{dependency}","gateway"],"system":"billing","owner":null}},"scorecards":{scorecards},"createdAt":"{created}","createdBy":"auth0|1","updatedAt":"{updated}","updatedBy":"auth0|2"}}"#
        )
    };
    (whole(&updated, score), whole(&updated_again, better))
}
