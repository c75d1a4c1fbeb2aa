//! The statements of a write, in as few messages as the server's limit allows.

use super::backend::TooLong;
use super::query::ROWS;
use super::text::Text;

/// Statements, one after the other, in messages of at most `longest` bytes.
pub(super) struct Script {
    longest: usize,
    messages: Vec<Text>,
    /// The last message.
    open: Text,
}

impl Script {
    pub fn new(longest: usize) -> Self {
        Self { longest, messages: Vec::new(), open: Text::default() }
    }

    /// Adds `head item, item, … tail`, as often as the items need: a statement has at most [`ROWS`]
    /// items.
    ///
    /// # Errors
    /// If a statement with one item is too long.
    pub fn list<T>(
        &mut self,
        head: &str,
        items: &[T],
        tail: &str,
        mut write: impl FnMut(&mut Text, &T),
    ) -> Result<(), TooLong> {
        // The items of the statement that is open, which lacks its tail.
        let mut count = 0;
        for item in items {
            let mut text = Text::default();
            write(&mut text, item);
            let item = text.0;
            let longer = self.open.0.len() + 1 + item.len() + tail.len();
            if count > 0 && (count == ROWS || longer > self.longest) {
                self.open.sql(tail);
                count = 0;
            }
            if count == 0 {
                self.make_room(head.len() + item.len() + tail.len())?;
                self.open.sql(head);
            } else {
                self.open.sql(",");
            }
            self.open.sql(&item);
            count += 1;
        }
        if count > 0 {
            self.open.sql(tail);
        }
        Ok(())
    }

    /// Adds a statement.
    ///
    /// # Errors
    /// If it is too long.
    pub fn statement(&mut self, statement: &Text) -> Result<(), TooLong> {
        self.make_room(statement.0.len())?;
        self.open.sql(&statement.0);
        Ok(())
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), TooLong> {
        if bytes > self.longest {
            return Err(TooLong { bytes, limit: self.longest });
        }
        if self.open.0.len() + bytes > self.longest {
            self.messages.push(std::mem::take(&mut self.open));
        }
        Ok(())
    }

    /// The messages, in the order in which they must be sent.
    pub fn into_messages(mut self) -> Vec<Text> {
        self.messages.push(self.open);
        self.messages.retain(|message| !message.0.is_empty());
        self.messages
    }
}

impl From<TooLong> for sqlx::Error {
    fn from(fault: TooLong) -> Self {
        Self::Encode(Box::new(fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(longest: usize, items: &[&str]) -> Result<Vec<String>, TooLong> {
        let mut script = Script::new(longest);
        script.list("in(", items, ");", |text, item| {
            text.sql(item);
        })?;
        script.statement(&Text::new("end;"))?;
        Ok(script.into_messages().into_iter().map(|message| message.0).collect())
    }

    #[test]
    fn no_message_is_longer_than_the_limit() {
        let items = ["aaa", "bbb", "ccc"];
        assert_eq!(messages(100, &items).expect("room"), ["in(aaa,bbb,ccc);end;"]);
        assert_eq!(messages(16, &items).expect("room"), ["in(aaa,bbb,ccc);", "end;"]);
        assert_eq!(messages(15, &items).expect("room"), ["in(aaa,bbb);", "in(ccc);end;"]);
        assert_eq!(
            messages(8, &items).expect("room"),
            ["in(aaa);", "in(bbb);", "in(ccc);", "end;"]
        );
        assert_eq!(messages(7, &items).expect_err("no room").bytes, 8);
        assert_eq!(messages(100, &[]).expect("room"), ["end;"]);
    }
}
