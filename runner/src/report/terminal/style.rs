//! Colours and widths.

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

/// How a report looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether ANSI colours are used.
    pub color: bool,
    /// The terminal's columns; `None` cuts no line.
    pub width: Option<usize>,
}

/// What a colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Good,
    Bad,
    Unsure,
    Note,
    Fault,
    Bold,
    Dim,
}

impl Style {
    /// Without colours and without a width, as for a file.
    pub const PLAIN: Self = Self {
        color: false,
        width: None,
    };

    pub(super) fn paint(self, paint: Paint, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Good => "1;32",
            Paint::Bad => "1;31",
            Paint::Unsure => "1;33",
            Paint::Note => "1;36",
            Paint::Fault => "35",
            Paint::Bold => "1",
            Paint::Dim => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint(Paint::Bold, text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint(Paint::Dim, text)
    }

    /// Cuts a line so that it fits behind `used` columns; at least 20 columns stay, since a wrapped
    /// line says more than an empty one.
    pub(super) fn fit(self, line: &str, used: usize) -> String {
        let Some(width) = self.width else {
            return line.to_owned();
        };
        let room = width.saturating_sub(used).max(20);
        if line.chars().count() <= room {
            return line.to_owned();
        }
        line.chars().take(room - 1).chain(['…']).collect()
    }

    /// A line across the terminal.
    pub(super) fn rule(self) -> String {
        "─".repeat(self.width.unwrap_or(80).clamp(20, 100))
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

    #[test]
    fn a_line_is_cut_to_the_columns_that_are_left() {
        let style = Style {
            color: false,
            width: Some(50),
        };
        assert_eq!(style.fit(&"x".repeat(60), 20).chars().count(), 30);
        assert_eq!(Style::PLAIN.fit(&"x".repeat(60), 20).chars().count(), 60);
    }
}
