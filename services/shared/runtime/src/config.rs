//! One TOML file for all services; every mistake in it is reported at once, each with its key.
//!
//! `${NAME}` inside a string value is replaced by that environment variable; `$${` stands for `${`.

use std::path::Path;

use serde::de::DeserializeOwned;

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where, for example `media.realms`.
    pub key: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl ConfigError {
    /// A mistake at a key.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl std::fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.0.len();
        write!(f, "{count} mistake{} in the configuration:", if count == 1 { "" } else { "s" })?;
        for error in &self.0 {
            write!(f, "\n  {}: {}", error.key, error.problem)?;
        }
        Ok(())
    }
}

/// A configuration file on its way to typed sections.
#[derive(Debug, Default)]
pub struct ConfigFile {
    table: toml::Table,
    errors: Vec<ConfigError>,
}

impl ConfigFile {
    /// Reads a file. An unreadable or ill-formed one is a mistake like any other.
    pub fn read(path: &Path) -> Self {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(error) => Self {
                errors: vec![ConfigError::new(path.display().to_string(), error.to_string())],
                ..Self::default()
            },
        }
    }

    /// Reads a text, with the process's environment.
    pub fn parse(text: &str) -> Self {
        Self::parse_with(text, &|name| std::env::var(name).ok())
    }

    /// Reads a text, with the environment that `variable` knows.
    pub fn parse_with(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Self {
        match text.parse::<toml::Table>() {
            Ok(mut table) => {
                let mut errors = Vec::new();
                for (key, value) in &mut table {
                    expand(key, value, variable, &mut errors);
                }
                Self { table, errors }
            }
            Err(error) => Self {
                table: toml::Table::new(),
                errors: vec![ConfigError::new("(file)", one_line(&error.to_string()))],
            },
        }
    }

    /// Whether a section is in the file, and was not taken out.
    pub fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// Takes a section out of the file; absent, it is the default. `check` looks for mistakes that types cannot show.
    pub fn section<T: DeserializeOwned + Default>(
        &mut self,
        name: &str,
        check: impl FnOnce(&T, &mut Vec<ConfigError>),
    ) -> T {
        let value = match self.table.remove(name) {
            None => T::default(),
            Some(toml::Value::Table(table)) => self.typed(name, table),
            Some(_) => {
                self.errors.push(ConfigError::new(name, format!("expected a table: [{name}]")));
                T::default()
            }
        };
        check(&value, &mut self.errors);
        value
    }

    fn typed<T: DeserializeOwned + Default>(&mut self, name: &str, table: toml::Table) -> T {
        let before = self.errors.len();
        // Each key alone first: a deserializer stops at its first mistake, a person wants all of them. What cannot be read is left
        // out, so that the rest is looked at, too.
        let mut table = table;
        table.retain(|key, value| {
            let single = toml::Table::from_iter([(key.to_owned(), value.clone())]);
            let read = single.try_into::<T>();
            if let Err(error) = &read {
                self.errors.push(ConfigError::new(format!("{name}.{key}"), one_line(error.message())));
            }
            read.is_ok()
        });
        match table.try_into::<T>() {
            Ok(value) => value,
            Err(error) => {
                if self.errors.len() == before {
                    self.errors.push(ConfigError::new(name, one_line(error.message())));
                }
                T::default()
            }
        }
    }

    /// All sections have been taken: what is left is unknown.
    pub fn finish(mut self) -> Result<(), ConfigErrors> {
        for key in self.table.keys() {
            self.errors.push(ConfigError::new(key, "unknown section"));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(ConfigErrors(self.errors)) }
    }
}

/// Replaces `${NAME}` in every string below `value`.
fn expand(
    key: &str,
    value: &mut toml::Value,
    variable: &dyn Fn(&str) -> Option<String>,
    errors: &mut Vec<ConfigError>,
) {
    match value {
        toml::Value::String(text) => match expand_text(text, variable) {
            Ok(expanded) => *text = expanded,
            Err(problem) => errors.push(ConfigError::new(key, problem)),
        },
        toml::Value::Array(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                expand(&format!("{key}[{index}]"), value, variable, errors);
            }
        }
        toml::Value::Table(table) => {
            for (name, value) in table.iter_mut() {
                expand(&format!("{key}.{name}"), value, variable, errors);
            }
        }
        _ => {}
    }
}

fn expand_text(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            expanded.push_str(&rest[..start - 1]);
            expanded.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        let end = rest[start..].find('}').ok_or("a `${` without its `}`; write `$${` for a literal one")?;
        let name = &rest[start + 2..start + end];
        expanded.push_str(&rest[..start]);
        expanded.push_str(&variable(name).ok_or_else(|| format!("the environment has no variable {name}"))?);
        rest = &rest[start + end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Section {
        port: u16,
        name: String,
    }

    #[test]
    fn the_environment_is_put_in() {
        let variable = |name: &str| (name == "IP").then(|| "192.0.2.7".to_owned());
        let mut file = ConfigFile::parse_with("[a]\nname = '${IP}:1 $${x}'\n", &variable);
        let a: Section = file.section("a", |_, _| {});
        assert_eq!(a.name, "192.0.2.7:1 ${x}");
        assert!(file.finish().is_ok());
        let errors = ConfigFile::parse_with("[a]\nname = '${NO}'\n", &variable).finish().unwrap_err();
        assert_eq!(errors.0[0].key, "a.name");
    }

    #[test]
    fn every_mistake_is_told_with_its_key() {
        let mut file =
            ConfigFile::parse("[a]\nport = 70000\nnaem = 'x'\nname = 'taken'\n[b]\nport = 1\n[c]\n");
        let _: Section = file.section("a", |s: &Section, errors| {
            if s.name == "taken" {
                errors.push(ConfigError::new("a.name", "is taken"));
            }
        });
        let b: Section = file.section("b", |s: &Section, errors| {
            if s.name.is_empty() {
                errors.push(ConfigError::new("b.name", "is missing"));
            }
        });
        assert_eq!(b.port, 1);
        let errors = file.finish().unwrap_err();
        let keys: Vec<_> = errors.0.iter().map(|e| e.key.as_str()).collect();
        assert_eq!(keys, ["a.naem", "a.port", "a.name", "b.name", "c"], "{errors}");
    }
}
