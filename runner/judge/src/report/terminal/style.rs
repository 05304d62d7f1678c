//! Colours and widths.

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
    fn a_line_is_cut_to_the_columns_that_are_left() {
        let style = Style {
            color: false,
            width: Some(50),
        };
        assert_eq!(style.fit(&"x".repeat(60), 20).chars().count(), 30);
        assert_eq!(Style::PLAIN.fit(&"x".repeat(60), 20).chars().count(), 60);
    }
}
