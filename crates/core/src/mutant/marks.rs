//! The macros that mark steps of the rules, so that a mutant can break them.
//!
//! Without the feature `test-hooks` each macro is the right code and nothing else.

/// A step of a rule. Each of the mutants leaves it out, with `if` only when the condition holds.
macro_rules! step {
    ($($mutant:ident $(if $when:expr)?),+ => $step:expr) => {{
        #[cfg(feature = "test-hooks")]
        let is_left_out = false $(|| ($crate::mutant::is_on!($mutant) $(&& $when)?))+;
        #[cfg(not(feature = "test-hooks"))]
        let is_left_out = false;
        if !is_left_out {
            $step;
        }
    }};
}

/// Two steps of a rule, in their order. The mutant does the second one first.
macro_rules! in_order {
    ($mutant:ident => $first:expr, $second:expr) => {
        #[cfg(feature = "test-hooks")]
        if $crate::mutant::is_on!($mutant) {
            $second;
            $first;
        } else {
            $first;
            $second;
        }
        #[cfg(not(feature = "test-hooks"))]
        {
            $first;
            $second;
        }
    };
}

/// A value that a step uses. With the mutant it is another one.
macro_rules! value {
    ($right:expr, $mutant:ident => $wrong:expr) => {{
        #[cfg(feature = "test-hooks")]
        let value = if $crate::mutant::is_on!($mutant) { $wrong } else { $right };
        #[cfg(not(feature = "test-hooks"))]
        let value = $right;
        value
    }};
}

/// A step that only the mutant does.
macro_rules! sabotage {
    ($mutant:ident => $wrong:expr) => {
        #[cfg(feature = "test-hooks")]
        if $crate::mutant::is_on!($mutant) {
            $wrong;
        }
    };
}

/// Whether the mutant is on.
#[cfg(feature = "test-hooks")]
macro_rules! is_on {
    ($mutant:ident) => {
        $crate::mutant::active() == Some($crate::mutant::Mutant::$mutant)
    };
}

#[cfg(feature = "test-hooks")]
pub(crate) use is_on;
pub(crate) use {in_order, sabotage, step, value};
