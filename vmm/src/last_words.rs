//! What is known where a defect of this program ends an execution: the code that unwinds says it, and a
//! listener that reports the defect to people hears it.

use std::sync::OnceLock;

static LISTENER: OnceLock<fn(&str)> = OnceLock::new();

/// Has `listener` hear what is said. It is called while a panic unwinds, by any thread. Only the first
/// one ever is.
pub fn listen(listener: fn(&str)) {
    // A second listener would hear of another's defects.
    let _ = LISTENER.set(listener);
}

/// Says something if it is dropped by a panic.
pub(crate) struct LastWords<T, F: Fn(&T) -> String> {
    /// What is used meanwhile.
    pub about: T,
    words: F,
}

impl<T, F: Fn(&T) -> String> LastWords<T, F> {
    /// `words` says what is known of `about`.
    pub(crate) fn new(about: T, words: F) -> Self {
        Self { about, words }
    }
}

impl<T, F: Fn(&T) -> String> Drop for LastWords<T, F> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(listener) = LISTENER.get()
        {
            listener(&(self.words)(&self.about));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

    #[test]
    fn words_are_heard_if_a_panic_unwinds_and_not_otherwise() {
        listen(|words| {
            HEARD
                .lock()
                .expect("nobody panics with it")
                .push(words.to_owned())
        });
        let words = |name: &&str| format!("about {name}");
        drop(LastWords::new("nothing", words));
        let done = std::panic::catch_unwind(|| {
            let _words = LastWords::new("something", words);
            panic!("a defect");
        });
        assert!(done.is_err());
        let heard = HEARD.lock().expect("nobody panics with it");
        let own: Vec<_> = heard
            .iter()
            .filter(|words| words.starts_with("about "))
            .collect();
        assert_eq!(own, ["about something"]);
    }
}
