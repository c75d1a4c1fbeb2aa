//! Two or three threads each, and what must hold in whatever order their steps come.

use crate::explore;
use crate::world::World;
use shuttle::thread;
use std::sync::Arc;

/// Runs the threads to their ends.
fn together(world: &Arc<World>, threads: &[fn(&World)]) {
    let spawn = |&thread: &fn(&World)| {
        let world = world.clone();
        thread::spawn(move || thread(&world))
    };
    let threads: Vec<_> = threads.iter().map(spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
}

/// A load lands while the feed applies a change of the key.
pub fn fill_against_feed() {
    let world = World::new(&[Some("a")]);
    let feed = |world: &World| {
        world.change(Some("b"));
        world.follow();
    };
    together(&world, &[World::read, feed, World::read]);
    world.is_quiet();
}

/// The same where there is an entry, which the load replaces, and the alias is deleted.
pub fn refill_against_feed() {
    let world = World::new(&[None]);
    world.read();
    let feed = |world: &World| {
        world.change(Some("a"));
        world.follow();
        world.change(None);
        world.follow();
    };
    let token = |world: &World| {
        let at = world.change(Some("b"));
        world.read_with(Some(at));
        world.read();
    };
    together(&world, &[token, feed]);
    world.is_quiet();
}

/// Readers come to a flight, and leave it, while its load lands and the feed makes it read again.
pub fn flight_against_leaving() {
    let world = World::new(&[Some("a")]);
    let leaver = |world: &World| {
        if world.come_and_leave() {
            world.load();
        }
        world.read();
    };
    let feed = |world: &World| {
        world.change(Some("b"));
        world.follow();
    };
    together(&world, &[World::read, leaver, feed]);
    world.is_quiet();
}

/// A burst of misses on one key is one query.
pub fn a_burst_of_misses() {
    let world = World::new(&[Some("a")]);
    together(&world, &[World::read, World::read, World::read]);
    assert_eq!(world.loads(), 1, "a burst of misses on one key is one query");
}

/// The writer tells of a change that the feed applies, too, while somebody reads.
pub fn write_against_feed() {
    let world = World::new(&[Some("a")]);
    let writer = |world: &World| {
        world.write(Some("b"));
        world.read();
    };
    let reader = |world: &World| {
        world.read();
        world.read();
    };
    together(&world, &[writer, World::follow, reader]);
    world.is_quiet();
}

/// The primary dies and loses a change. One finds out while a load is out.
pub fn epoch_against_load() {
    let world = World::new(&[Some("a")]);
    world.change(Some("lost"));
    world.follow();
    let failover = |world: &World| {
        world.fail_over(1);
        world.contradict();
        world.follow();
        world.read();
    };
    together(&world, &[World::read, failover, World::read]);
    world.is_quiet();
}

/// The same, found out by the feed, while somebody writes to the new primary.
pub fn epoch_against_write() {
    let world = World::new(&[Some("a")]);
    world.change(Some("lost"));
    world.follow();
    world.read();
    let feed = |world: &World| {
        world.fail_over(1);
        world.follow();
        world.read();
    };
    let writer = |world: &World| {
        world.write(Some("b"));
        world.read();
    };
    together(&world, &[feed, writer]);
    world.is_quiet();
}

/// A filter is filled, and begins to answer, while a load finds an alias that the feed applies.
pub fn filter_against_load_and_feed() {
    let world = World::new(&[None]);
    let reader = |world: &World| {
        world.change(Some("a"));
        world.read();
        world.read();
    };
    together(&world, &[World::scan, reader, World::follow]);
    world.is_quiet();
}

/// A filter answers and another replaces it while an alias is written.
pub fn filter_against_write() {
    let world = World::new(&[None]);
    world.scan();
    let writer = |world: &World| {
        world.write(Some("a"));
        world.read();
    };
    together(&world, &[World::scan, writer, World::follow]);
    world.is_quiet();
}

/// A filter that was saved is restored while an alias is made elsewhere, and the feed brings it.
pub fn restore_against_feed() {
    let world = World::new(&[None]);
    world.scan();
    world.save();
    // The first page ends here, at the cursor.
    world.change(None);
    world.contradict();
    world.follow();
    let feed = |world: &World| {
        world.change(Some("a"));
        world.follow();
        world.read();
    };
    together(&world, &[World::restore, feed]);
    world.is_quiet();
}

/// A filter is saved while an alias is made and the feed brings it, and restored afterwards.
pub fn save_against_feed() {
    let world = World::new(&[None]);
    world.scan();
    let feed = |world: &World| {
        world.change(Some("a"));
        world.follow();
        world.change(None);
        world.change(Some("b"));
        world.follow();
    };
    together(&world, &[World::save, feed]);
    world.contradict();
    world.follow();
    world.restore();
    world.is_quiet();
}

/// Readers with tokens of changes that the feed is about to apply.
pub fn tokens_against_feed() {
    let world = World::new(&[Some("a")]);
    world.read();
    let reader = |world: &World| {
        let at = world.change(Some("b"));
        world.read_with(Some(at));
        world.read();
    };
    let other = |world: &World| {
        let at = world.change(None);
        world.read_with(Some(at));
    };
    together(&world, &[reader, other, World::follow]);
    world.is_quiet();
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
