//! Tidies KDL: indentation, blanks and empty lines, and nothing else. Comments, quotes and the
//! notation of numbers stay as they were written.

use super::scan::{Kind, Token, tokens};

const INDENT: &str = "    ";

/// Formats a text that parses. What is not understood is kept as it is.
#[must_use]
pub fn format(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut formatter = Formatter {
        text,
        out: String::with_capacity(text.len()),
        depth: 0,
        line_empty: true,
        blank_lines: 0,
        spaced: false,
        gap: 0,
        continued: 0,
    };
    let tokens = tokens(text);
    for (index, token) in tokens.iter().enumerate() {
        formatter.token(*token, &tokens[index + 1..]);
    }
    while formatter.out.ends_with(['\n', ' ']) {
        formatter.out.pop();
    }
    if !formatter.out.is_empty() {
        formatter.out.push('\n');
    }
    formatter.out
}

struct Formatter<'a> {
    text: &'a str,
    out: String,
    depth: usize,
    /// Nothing is on the current line yet.
    line_empty: bool,
    /// Empty lines that wait to be written; at most one is.
    blank_lines: usize,
    /// A blank stood before the next token, or is wanted.
    spaced: bool,
    /// How many blanks stood before the token.
    gap: usize,
    /// 1 on a line that continues the one above.
    continued: usize,
}

impl Formatter<'_> {
    fn token(&mut self, token: Token, following: &[Token]) {
        let raw = &self.text[token.start..token.end];
        match token.kind {
            Kind::Space => {
                self.spaced = true;
                self.gap = raw.chars().count();
                return;
            }
            Kind::Newline => self.newline(),
            Kind::Continuation => {
                self.write(if raw.contains("//") || raw.contains("/*") {
                    raw.trim_end()
                } else {
                    "\\"
                });
                self.newline();
                self.continued = 1;
            }
            Kind::Semicolon => self.semicolon(following),
            Kind::Equals => {
                self.spaced = false;
                self.write("=");
                self.glue();
            }
            Kind::Open => {
                self.spaced = true;
                self.write("{");
                self.depth += 1;
                self.spaced = true;
            }
            Kind::Close => {
                self.depth = self.depth.saturating_sub(1);
                self.blank_lines = 0;
                self.spaced = true;
                // `{}` stays together.
                if self.out.ends_with('{') && !self.line_empty {
                    self.spaced = false;
                }
                self.write("}");
            }
            Kind::LineComment => {
                // Comments behind nodes are often aligned by hand; that stays.
                if !self.line_empty {
                    let blanks = self.gap.max(1);
                    self.out.extend(std::iter::repeat_n(' ', blanks));
                    self.spaced = false;
                }
                self.write(raw.trim_end());
            }
            Kind::Slashdash | Kind::ParenOpen => {
                self.write(raw);
                self.glue();
            }
            Kind::ParenClose => {
                self.glue();
                self.write(raw);
            }
            _ => {
                // Blanks around `=` are taken away.
                if self.out.ends_with('=') && token.kind != Kind::BlockComment {
                    self.spaced = false;
                }
                self.write(raw);
            }
        }
        self.gap = 0;
    }

    /// Takes back the wish for a blank, for what belongs to its neighbour.
    fn glue(&mut self) {
        self.spaced = false;
    }

    fn newline(&mut self) {
        if self.line_empty {
            self.blank_lines += 1;
        } else {
            self.out.push('\n');
            self.line_empty = true;
            self.blank_lines = 0;
        }
        self.spaced = false;
        self.continued = 0;
    }

    /// A semicolon at the end of a line, or before a brace, says nothing.
    fn semicolon(&mut self, following: &[Token]) {
        let next = following
            .iter()
            .find(|t| !matches!(t.kind, Kind::Space | Kind::BlockComment));
        let ends_line = next.is_none_or(|t| {
            matches!(
                t.kind,
                Kind::Newline | Kind::LineComment | Kind::Close | Kind::Semicolon
            )
        });
        if !ends_line && !self.line_empty {
            self.out.push(';');
        }
        self.spaced = true;
    }

    fn write(&mut self, text: &str) {
        if self.line_empty {
            // An empty line at the start of a block or of the file says nothing.
            let opened = self.out.is_empty() || self.out.ends_with("{\n");
            if self.blank_lines > 0 && !opened {
                self.out.push('\n');
            }
            for _ in 0..self.depth + self.continued {
                self.out.push_str(INDENT);
            }
        } else if self.spaced {
            self.out.push(' ');
        }
        self.line_empty = false;
        self.blank_lines = 0;
        self.spaced = false;
        self.out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_tidied_and_content_is_kept() {
        let messy = [
            "\n\n// top\nscenario   \"a\"   schema =1 {\n\n",
            "  node \"n1\" {memory \"1_0MiB\";vcpus 0x1;}\n\n\n\n",
            "      disk \"d\" /* why */ size=\"1MiB\"   // end  \n  -x {}\n}\n\n",
        ];
        let tidy = [
            "// top\nscenario \"a\" schema=1 {\n",
            "    node \"n1\" { memory \"1_0MiB\"; vcpus 0x1 }\n\n",
            "    disk \"d\" /* why */ size=\"1MiB\"   // end\n    -x {}\n}\n",
        ];
        assert_eq!(format(&messy.concat()), tidy.concat());
        assert_eq!(format(&tidy.concat()), tidy.concat());
    }

    #[test]
    fn strings_of_several_lines_and_continuations_stay() {
        let text = "a \"\"\"\n    x\n      y\n    \"\"\"\nb 1 \\\n    2\n/-c 1\n";
        assert_eq!(format(text), text);
    }
}
