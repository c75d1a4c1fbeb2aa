//! Generates a day of a product's events in Mixpanel's format, one JSON object a line. They are
//! skewed like real traffic, and the mistakes of broken clients are mixed in. The same seed makes
//! the same day on every machine.

use serde_json::{Value, json};

/// People who use the product; the busiest are first.
const PEOPLE: usize = 900;

/// 2026-01-01, 00:00 UTC.
const MIDNIGHT: u64 = 1_767_225_600;

/// Endless events, in order of time.
pub struct Traffic {
    random: Random,
    /// For each person, the sum of the weights up to and including hers.
    weights: Vec<f64>,
    people: Vec<Person>,
    time: u64,
    /// Alias events that were sent: clients repeat some of them.
    sent: Vec<Value>,
}

struct Person {
    /// Her id once she has signed up.
    user_id: String,
    /// The id of each of her devices, which stand for her before that.
    devices: Vec<String>,
    current: usize,
    /// Whether she has signed up or logged in on each device.
    known: Vec<bool>,
}

impl Traffic {
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        // Zipf's law: the person of rank k is seen 1/k as often as the first.
        let weights = (1..=PEOPLE).scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        });
        let weights = weights.collect();
        let people = (0..PEOPLE).map(|number| Person::new(number, &mut random)).collect();
        Self { random, weights, people, time: MIDNIGHT, sent: Vec::new() }
    }

    fn event(&mut self) -> Value {
        // A day of four thousand events.
        self.time += self.random.below(43);
        match self.random.below(100) {
            // Clients that lost their id, or never had one.
            0..4 => {
                let junk = junk(&mut self.random);
                self.plain(junk)
            }
            // Clients that repeat themselves.
            4..6 if !self.sent.is_empty() => {
                let number = self.random.below(self.sent.len() as u64) as usize;
                self.sent[number].clone()
            }
            6..8 => self.confused(),
            _ => self.of_a_person(),
        }
    }

    /// A visit; sometimes she signs up or logs in, or comes with a new device.
    fn of_a_person(&mut self) -> Value {
        let at = self.random.float() * self.weights[PEOPLE - 1];
        let number = self.weights.partition_point(|&sum| sum <= at).min(PEOPLE - 1);
        let chance = self.random.below(100);
        if chance < 5 {
            let device = self.random.uuid();
            let person = &mut self.people[number];
            person.devices.push(device);
            person.known.push(false);
            person.current = person.devices.len() - 1;
        }
        let person = &mut self.people[number];
        let (user_id, device) = (person.user_id.clone(), person.devices[person.current].clone());
        if person.known[person.current] {
            return self.plain(Value::from(user_id));
        }
        if chance >= 85 {
            person.known[person.current] = true;
            // The old SDK's way for the first device, the new one's for those that follow.
            return match person.current {
                0 if number.is_multiple_of(2) => self.create_alias(&user_id, &device),
                _ => self.identify(&device, &user_id),
            };
        }
        self.plain(Value::from(device))
    }

    /// Mistakes of integrations. Each would merge strangers, or makes no sense.
    fn confused(&mut self) -> Value {
        let [one, other] = [(); 2].map(|()| self.random.below(20) as usize);
        let (user, stranger) = (&self.people[one].user_id, &self.people[other].user_id);
        let (user, stranger) = (user.clone(), stranger.clone());
        let device = self.people[one].devices[0].clone();
        match self.random.below(8) {
            // Two people on one device; an id for itself; a person who is made another's device.
            0 => self.identify(&device, &stranger),
            1 => self.identify(&user, &user),
            2 => self.identify(&user, &stranger),
            3 => self.identify("undefined", &user),
            4 => self.create_alias(&user, "\"null\""),
            5 => self.identify(&device, &"x".repeat(256)),
            6 => self.identify("", &user),
            _ => self.identify(&format!("{device}\u{0}"), &user),
        }
    }

    fn plain(&mut self, distinct_id: Value) -> Value {
        let name = ["Page View", "$mp_web_page_view", "Search", "Ajout au panier 🛒", "Purchase"];
        let name = name[self.random.below(name.len() as u64) as usize];
        self.wrapped(name, json!({ "distinct_id": distinct_id }))
    }

    /// `alias` is to stand for `distinct_id`.
    fn create_alias(&mut self, alias: &str, distinct_id: &str) -> Value {
        let properties = json!({ "distinct_id": distinct_id, "alias": alias });
        self.sending("$create_alias", properties)
    }

    /// The anonymous id is to stand for the identified one.
    fn identify(&mut self, anonymous: &str, identified: &str) -> Value {
        let properties = json!({
            "distinct_id": identified,
            "$identified_id": identified,
            "$anon_id": anonymous,
        });
        self.sending("$identify", properties)
    }

    fn sending(&mut self, event: &str, properties: Value) -> Value {
        let event = self.wrapped(event, properties);
        self.sent.push(event.clone());
        event
    }

    fn wrapped(&mut self, event: &str, mut properties: Value) -> Value {
        properties["token"] = Value::from("8f3c1c0e5d8a4b7f9e2d6a1b0c4f7e33");
        properties["time"] = Value::from(self.time);
        properties["$insert_id"] = Value::from(format!("{:016x}", self.random.next()));
        properties["mp_lib"] = Value::from("web");
        json!({ "event": event, "properties": properties })
    }
}

impl Iterator for Traffic {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        Some(self.event().to_string())
    }
}

impl Person {
    fn new(number: usize, random: &mut Random) -> Self {
        let user_id = match number % 7 {
            0 => format!("user{number}@example.com"),
            1 => format!("{}", 1_000_000 + number * 17),
            2 => format!("Зоя-{number}"),
            3 => format!("jose\u{301}-{number}"),
            4 => format!("jos\u{e9}-{number}"),
            5 => format!("User {number} 👩‍👩‍👧"),
            _ => random.uuid(),
        };
        Self { user_id, devices: vec![random.uuid()], current: 0, known: vec![false] }
    }
}

/// A placeholder, or another value that broken clients send in place of an id.
fn junk(random: &mut Random) -> Value {
    let junk = [
        json!("undefined"),
        json!("null"),
        json!("NULL"),
        json!("anonymous"),
        json!("'not_authenticated'"),
        json!("[object Object]"),
        json!("00000000-0000-0000-0000-000000000000"),
        json!(""),
        json!(" "),
        json!("tab\tand bell\u{7}"),
        json!("ends with a return\r"),
        json!("\u{85}\u{200b}"),
        json!("x".repeat(300)),
        json!(null),
        json!(42),
        json!(true),
    ];
    junk[random.below(junk.len() as u64) as usize].clone()
}

/// What an event is for.
pub enum Kind {
    /// What is to stand for `distinct_id`.
    CreateAlias(String),
    /// The anonymous id, and the identified one.
    Identify(String, String),
    Other,
}

/// The parts of an event that ingestion needs.
pub struct Event {
    pub distinct_id: String,
    pub kind: Kind,
}

impl Event {
    /// The alias that the event makes, and the canonical id.
    pub fn alias(&self) -> Option<(String, String)> {
        match &self.kind {
            Kind::CreateAlias(alias) => Some((alias.clone(), self.distinct_id.clone())),
            Kind::Identify(anonymous, identified) => Some((anonymous.clone(), identified.clone())),
            Kind::Other => None,
        }
    }
}

/// Reads a line of the day, as ingestion would.
pub fn read(line: &str) -> Option<Event> {
    let event: Value = serde_json::from_str(line).ok()?;
    let properties = event["properties"].as_object()?;
    // Mixpanel takes numbers and the like for their text.
    let text = |key: &str| match properties.get(key) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
        None => None,
    };
    properties.get("token")?.as_str().zip(properties.get("$insert_id")?.as_str())?;
    properties.get("time")?.as_u64()?;
    let kind = match event["event"].as_str()? {
        "$create_alias" => Kind::CreateAlias(text("alias")?),
        "$identify" => Kind::Identify(text("$anon_id")?, text("$identified_id")?),
        _ => Kind::Other,
    };
    Some(Event { distinct_id: text("distinct_id")?, kind })
}

/// SplitMix64: a few lines that are the same everywhere and for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// From 0 to below 1.
    fn float(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// As a browser would draw it.
    fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 48) & 0x3fff,
            low & 0xffff_ffff_ffff
        )
    }
}
