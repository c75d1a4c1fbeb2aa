//! The scenarios: two or three threads each, and what must hold in every order of their steps.

use crate::explore;
use crate::scene::Scene;
use shuttle::thread;
use std::sync::Arc;

/// Runs the threads until all have ended.
fn together(scene: &Arc<Scene>, threads: &[fn(&Scene)]) {
    let spawn = |&thread: &fn(&Scene)| {
        let scene = scene.clone();
        thread::spawn(move || thread(&scene))
    };
    let threads: Vec<_> = threads.iter().map(spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
}

/// A load lands while the feed applies a change of the key.
pub fn fill_against_feed() {
    let scene = Scene::new(&[Some("a")]);
    let feed = |scene: &Scene| {
        scene.change(Some("b"));
        scene.follow();
    };
    together(&scene, &[Scene::read, feed, Scene::read]);
    scene.is_quiet();
}

/// As [`fill_against_feed`], but the load replaces an entry, and the alias is deleted.
pub fn refill_against_feed() {
    let scene = Scene::new(&[None]);
    scene.read();
    let feed = |scene: &Scene| {
        scene.change(Some("a"));
        scene.follow();
        scene.change(None);
        scene.follow();
    };
    let token = |scene: &Scene| {
        let at = scene.change(Some("b"));
        scene.read_with(Some(at));
        scene.read();
    };
    together(&scene, &[token, feed]);
    scene.is_quiet();
}

/// Readers join a flight and leave it, while its load lands and the feed overtakes it.
pub fn flight_against_leaving() {
    let scene = Scene::new(&[Some("a")]);
    let leaver = |scene: &Scene| {
        if scene.come_and_leave() {
            scene.load();
        }
        scene.read();
    };
    let feed = |scene: &Scene| {
        scene.change(Some("b"));
        scene.follow();
    };
    together(&scene, &[Scene::read, leaver, feed]);
    scene.is_quiet();
}

/// A burst of misses on one key is one query.
pub fn a_burst_of_misses() {
    let scene = Scene::new(&[Some("a")]);
    together(&scene, &[Scene::read, Scene::read, Scene::read]);
    assert_eq!(scene.loads(), 1, "a burst of misses on one key is one query");
}

/// The writer tells memory of a change that the feed applies too, while there are readers.
pub fn write_against_feed() {
    let scene = Scene::new(&[Some("a")]);
    let writer = |scene: &Scene| {
        scene.write(Some("b"));
        scene.read();
    };
    let reader = |scene: &Scene| {
        scene.read();
        scene.read();
    };
    together(&scene, &[writer, Scene::follow, reader]);
    scene.is_quiet();
}

/// The primary dies and loses a change. Memory learns of it while a load is out.
pub fn epoch_against_load() {
    let scene = Scene::new(&[Some("a")]);
    scene.change(Some("lost"));
    scene.follow();
    let failover = |scene: &Scene| {
        scene.fail_over(1);
        scene.contradict();
        scene.follow();
        scene.read();
    };
    together(&scene, &[Scene::read, failover, Scene::read]);
    scene.is_quiet();
}

/// As [`epoch_against_load`], but the feed notices the failover, while a write goes to the new
/// primary.
pub fn epoch_against_write() {
    let scene = Scene::new(&[Some("a")]);
    scene.change(Some("lost"));
    scene.follow();
    scene.read();
    let feed = |scene: &Scene| {
        scene.fail_over(1);
        scene.follow();
        scene.read();
    };
    let writer = |scene: &Scene| {
        scene.write(Some("b"));
        scene.read();
    };
    together(&scene, &[feed, writer]);
    scene.is_quiet();
}

/// A filter is filled and begins to answer, while a load finds an alias that the feed applies.
pub fn filter_against_load_and_feed() {
    let scene = Scene::new(&[None]);
    let reader = |scene: &Scene| {
        scene.change(Some("a"));
        scene.read();
        scene.read();
    };
    together(&scene, &[Scene::scan, reader, Scene::follow]);
    scene.is_quiet();
}

/// A filter answers, and another one replaces it while an alias is written.
pub fn filter_against_write() {
    let scene = Scene::new(&[None]);
    scene.scan();
    let writer = |scene: &Scene| {
        scene.write(Some("a"));
        scene.read();
    };
    together(&scene, &[Scene::scan, writer, Scene::follow]);
    scene.is_quiet();
}

/// A saved filter is restored, while an alias is created elsewhere and the feed applies it.
pub fn restore_against_feed() {
    let scene = Scene::new(&[None]);
    scene.scan();
    scene.save();
    // The first page of the replay ends here, at the cursor.
    scene.change(None);
    scene.contradict();
    scene.follow();
    let feed = |scene: &Scene| {
        scene.change(Some("a"));
        scene.follow();
        scene.read();
    };
    together(&scene, &[Scene::restore, feed]);
    scene.is_quiet();
}

/// A filter is saved while an alias is created and the feed applies it. Then the filter is
/// restored.
pub fn save_against_feed() {
    let scene = Scene::new(&[None]);
    scene.scan();
    let feed = |scene: &Scene| {
        scene.change(Some("a"));
        scene.follow();
        scene.change(None);
        scene.change(Some("b"));
        scene.follow();
    };
    together(&scene, &[Scene::save, feed]);
    scene.contradict();
    scene.follow();
    scene.restore();
    scene.is_quiet();
}

/// Readers have tokens of changes that the feed is about to apply.
pub fn tokens_against_feed() {
    let scene = Scene::new(&[Some("a")]);
    scene.read();
    let reader = |scene: &Scene| {
        let at = scene.change(Some("b"));
        scene.read_with(Some(at));
        scene.read();
    };
    let other = |scene: &Scene| {
        let at = scene.change(None);
        scene.read_with(Some(at));
    };
    together(&scene, &[reader, other, Scene::follow]);
    scene.is_quiet();
}

macro_rules! explored {
    ($($scenario:ident)*) => {$(
        #[test]
        fn $scenario() {
            explore(stringify!($scenario), super::$scenario);
        }
    )*};
}

mod in_every_order {
    use super::explore;

    explored! {
        fill_against_feed
        refill_against_feed
        flight_against_leaving
        a_burst_of_misses
        write_against_feed
        epoch_against_load
        epoch_against_write
        filter_against_load_and_feed
        filter_against_write
        restore_against_feed
        save_against_feed
        tokens_against_feed
    }
}
