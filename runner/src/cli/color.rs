//! When output is coloured.

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorChoice {
    /// Decides whether to use colours. `is_terminal` tells about the stream that is written to,
    /// `variable` looks up an environment variable.
    ///
    /// An explicit choice wins; then `NO_COLOR` (set and not empty, <https://no-color.org>), then
    /// `CLICOLOR_FORCE` (set and not `0`), then `TERM=dumb`.
    pub fn resolve(self, is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
        let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if set("NO_COLOR") => false,
            Self::Auto if variable("CLICOLOR_FORCE").is_some_and(|v| !v.is_empty() && v != "0") => {
                true
            }
            Self::Auto => is_terminal && variable("TERM").as_deref() != Some("dumb"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explicit_choice_wins_over_the_environment() {
        let all_set = |_: &str| Some("1".to_owned());
        assert!(ColorChoice::Always.resolve(false, all_set));
        assert!(!ColorChoice::Never.resolve(true, all_set));
    }

    #[test]
    fn auto_honours_no_color_then_force_then_the_terminal() {
        let only = |key: &'static str, value: &'static str| {
            move |name: &str| (name == key).then(|| value.to_owned())
        };
        let auto = ColorChoice::Auto;
        assert!(auto.resolve(true, |_| None));
        assert!(!auto.resolve(false, |_| None));
        assert!(!auto.resolve(true, only("NO_COLOR", "1")));
        assert!(auto.resolve(true, only("NO_COLOR", "")));
        assert!(auto.resolve(false, only("CLICOLOR_FORCE", "1")));
        assert!(!auto.resolve(false, only("CLICOLOR_FORCE", "0")));
        assert!(!auto.resolve(true, only("TERM", "dumb")));
    }
}
