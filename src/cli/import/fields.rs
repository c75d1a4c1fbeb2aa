//! The fields of a row, whatever its format, and what their values mean.

use super::row::RowFault;

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FieldValue {
    Text(String),
    /// A number of JSON, as it is written.
    Number(String),
}

/// A row whose fields can be read by name.
pub(super) trait Fields {
    /// The field of this name. `None` if there is none, or if it is JSON's `null`.
    ///
    /// A name `outer.inner` is a field of that name, or else the field `inner` of the JSON object
    /// in the field `outer`.
    ///
    /// # Errors
    /// If the value is neither a text nor a number.
    fn get(&self, name: &str) -> Result<Option<FieldValue>, RowFault>;

    /// As [`Fields::get`], for a field that holds an id.
    ///
    /// # Errors
    /// If blanks stand around it that may or may not belong to it.
    fn get_id(&self, name: &str) -> Result<Option<FieldValue>, RowFault> {
        self.get(name)
    }
}

/// The id that a value stands for. A whole number is the id that has its digits.
pub(super) fn id(name: &str, value: FieldValue) -> Result<String, RowFault> {
    match value {
        FieldValue::Text(text) => Ok(text),
        FieldValue::Number(number) if is_whole(&number) => Ok(number),
        FieldValue::Number(number) => Err(RowFault::malformed(format!(
            "{name} is the number {number}, which programs write in several ways: put it in quotes, \
             as the events have it"
        ))),
    }
}

fn is_whole(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    number != "-0" && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number of a project. Spreadsheets and data frames write `1.0` for it.
pub(super) fn project(name: &str, value: &FieldValue) -> Result<u64, RowFault> {
    let (FieldValue::Text(text) | FieldValue::Number(text)) = value;
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = !whole.is_empty()
        && whole.bytes().all(|byte| byte.is_ascii_digit())
        && fraction.bytes().all(|byte| byte == b'0');
    let number = if is_number { whole.parse().ok() } else { None };
    number.ok_or_else(|| {
        RowFault::malformed(format!("{name} is {text:?}, which is not the number of a project"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_ids_and_others_are_not() {
        let number = |text: &str| id("alias_id", FieldValue::Number(text.to_owned()));
        for whole in ["0", "-7", "123456789012345678901234567890"] {
            assert_eq!(number(whole).expect("an id"), whole);
        }
        for other in ["1.0", "1e3", "-0"] {
            assert!(number(other).is_err_and(|fault| fault.message.contains(other)));
        }
    }

    #[test]
    fn a_project_may_be_written_as_a_float() {
        let of = |text: &str| project("project_id", &FieldValue::Text(text.to_owned())).ok();
        for one in ["1", "1.0", "1.", "01.000", " 1 "] {
            assert_eq!(of(one), Some(1), "{one:?}");
        }
        for none in ["", "1.5", "+1", "-1", ".0", "1e0", "0x1", "1,000", "18446744073709551616"] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
