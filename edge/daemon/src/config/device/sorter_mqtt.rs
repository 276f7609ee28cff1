//! A smart sorter over MQTT.

use super::broker;
use crate::config::read::{Names, Section};
use crate::config::url::Broker;
use stowage_base::Code;

/// A sorter that speaks Stowage's JSON contract over MQTT.
#[derive(Debug, Clone)]
pub struct SorterMqtt {
    /// The broker at which it is found.
    pub broker: Broker,
    /// Where its parcels can go.
    pub chutes: Chutes,
}

/// The chutes of a sorter.
#[derive(Debug, Clone, Default)]
pub struct Chutes {
    /// All of them, at least one.
    pub all: Vec<Code>,
    /// The one for problems, one of `all`.
    pub hospital: Code,
}

pub(super) fn read(section: &mut Section<'_>) -> SorterMqtt {
    section.require(&[
        ("url", "mqtt://HOST or mqtts://USER:PASSWORD@HOST:PORT"),
        ("chutes", "the chutes' codes"),
        ("hospital", "the chute for problems, one of chutes"),
    ]);
    SorterMqtt { broker: broker(section), chutes: chutes(section) }
}

/// A sorter's `chutes` and its `hospital` among them.
pub(super) fn chutes(section: &mut Section<'_>) -> Chutes {
    let file = section.file;
    let mut names = Names::new("chute of this sorter");
    let chutes = section.codes("chutes");
    for (index, chute) in chutes.iter().enumerate() {
        names.add(file, chute, index);
    }
    let hospital = section.code("hospital").unwrap_or_default();
    if !chutes.is_empty() {
        names.find(file, &hospital);
    }
    Chutes { all: chutes.into_iter().map(|chute| chute.value).collect(), hospital: hospital.value }
}
