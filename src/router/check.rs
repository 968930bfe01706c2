//! What `check_handler!` expands to.

use std::future::Future;

use super::{IntoOutcome, extract::FromRecord};

/// Checks at compile time that a function is a handler for a router with this state, and points at the
/// very argument that is none. The compiler's own message about a wrong handler names the function
/// only.
///
/// It takes the type of the state and the function, with a `_` for each argument; it costs nothing.
///
/// # Example
///
/// ```
/// use kafka_tower::{check_handler, extract::{Key, State}};
///
/// #[derive(Clone)]
/// struct Db;
///
/// async fn on_order(State(db): State<Db>, Key(id): Key<String>) {}
///
/// check_handler!(Db, on_order(_, _));
/// ```
///
/// ```compile_fail
/// # use kafka_tower::{check_handler, extract::State};
/// # #[derive(Clone)]
/// # struct Db;
/// async fn on_order(State(db): State<Db>, id: String) {}
///
/// check_handler!(Db, on_order(_, _)); // error: `String` can't be an argument of a handler
/// ```
#[macro_export]
macro_rules! check_handler {
    ($state:ty, $($handler:ident)::+ ( $($argument:ty),* $(,)? )) => {
        const _: () = {
            $crate::router::check::count(&[$(stringify!($argument)),*]);
            #[allow(dead_code)]
            fn check() {
                $crate::router::check::answer($($handler)::+(
                    $($crate::router::check::argument::<$argument, $state>()),*
                ));
            }
        };
    };
}

/// Takes the arguments, of which each may be right and all together too many.
pub const fn count(arguments: &[&str]) {
    assert!(arguments.len() <= 12, "a handler has up to 12 arguments");
}

/// An argument, never made.
#[must_use]
pub fn argument<T: FromRecord<S>, S>() -> T {
    unreachable!("only checked, never called")
}

/// Takes what a handler must give.
pub fn answer<F: Future<Output: IntoOutcome> + Send + 'static>(answer: F) {
    drop(answer);
}
