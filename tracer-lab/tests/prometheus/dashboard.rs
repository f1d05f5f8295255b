//! The dashboard as Grafana reads it.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::text;

/// Where it is in the repository.
pub(crate) const PATH: &str = "deploy/grafana/keepalive-resets.json";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dashboard {
    pub(crate) title: String,
    pub(crate) uid: String,
    pub(crate) tags: Vec<String>,
    pub(crate) schema_version: u32,
    pub(crate) editable: bool,
    pub(crate) panels: Vec<Panel>,
    pub(crate) annotations: List<Annotation>,
    pub(crate) templating: List<Variable>,
}

#[derive(Deserialize)]
pub(crate) struct List<T> {
    pub(crate) list: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Panel {
    pub(crate) id: u32,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) grid_pos: GridPos,
    /// The shortest step.
    pub(crate) interval: Option<String>,
    pub(crate) datasource: Option<DataSource>,
    #[serde(default)]
    pub(crate) field_config: Value,
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct GridPos {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) w: u32,
    pub(crate) h: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Target {
    pub(crate) ref_id: String,
    pub(crate) datasource: DataSource,
    pub(crate) expr: String,
}

#[derive(Deserialize)]
pub(crate) struct Annotation {
    pub(crate) name: String,
    pub(crate) datasource: DataSource,
    pub(crate) expr: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Variable {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) label: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) multi: bool,
    #[serde(default)]
    pub(crate) all_value: String,
    pub(crate) datasource: Option<DataSource>,
    #[serde(default)]
    pub(crate) definition: String,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct DataSource {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) uid: String,
}

/// A query of the dashboard, and where it stands.
pub(crate) struct Query {
    /// The panel's title and the target's letter or word, or the name of an annotation or a variable.
    pub(crate) place: String,
    pub(crate) expression: String,
}

impl Dashboard {
    pub(crate) fn read() -> Result<Self> {
        serde_json::from_str(&text(PATH)?).with_context(|| format!("{PATH} is not a dashboard"))
    }

    /// Panels that show something, which rows do not.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &Panel> {
        self.panels.iter().filter(|panel| panel.kind != "row")
    }

    /// Every query that Grafana would send.
    pub(crate) fn queries(&self) -> Vec<Query> {
        let query = |place: String, expression: &str| Query { place, expression: expression.to_owned() };
        let of_panels = self.shown().flat_map(|panel| {
            let of_target =
                move |target: &Target| query(format!("{}/{}", panel.title, target.ref_id), &target.expr);
            panel.targets.iter().map(of_target)
        });
        let of_annotations = self
            .annotations
            .list
            .iter()
            .map(|found| query(format!("annotation {}", found.name), &found.expr));
        let of_variables = self.templating.list.iter().filter(|variable| variable.kind == "query");
        let of_variables = of_variables
            .map(|found| query(format!("variable {}", found.name), &values_of(&found.definition)));
        of_panels.chain(of_annotations).chain(of_variables).collect()
    }
}

/// `label_values(selector, label)`, which only Grafana knows, as an expression.
fn values_of(definition: &str) -> String {
    let inner = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    match inner.and_then(|inner| inner.rsplit_once(", ")) {
        Some((selector, label)) => format!("group by ({label}) ({selector})"),
        None => definition.to_owned(),
    }
}
