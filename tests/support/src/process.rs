//! Child processes that end when the test ends, however it ends.

use rustix::io::{dup2, fcntl_dupfd_cloexec};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, kill_process, set_parent_process_death_signal, setrlimit,
};
use std::io;
use std::mem::ManuallyDrop;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

/// Starts a process that is killed when this one ends, however that happens.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    // The kernel kills the process when the *thread* that started it ends. So one thread, which
    // never ends, starts all processes.
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("server-spawner".to_owned())
            .spawn(move || {
                for (mut command, reply) in queue {
                    reply.send(command.spawn()).ok();
                }
            })
            .expect("a thread can be started");
        jobs
    });

    let parent = Pid::from_raw(std::process::id().cast_signed());
    let die_with_parent = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before that call.
        if rustix::process::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
    };
    // SAFETY: between fork and exec the closure makes two system calls and nothing else. It takes
    // no lock and allocates nothing.
    #[expect(unsafe_code, reason = "pre_exec has no safe form")]
    unsafe {
        command.pre_exec(die_with_parent);
    }

    let (reply, answer) = mpsc::channel();
    spawner.send((command, reply)).expect("the spawner thread lives");
    answer.recv().expect("the spawner thread answers")
}

/// Passes sockets to a command as descriptors 3 and 4, as a service manager does.
pub(crate) fn pass_sockets(command: &mut Command, sockets: &[TcpListener; 2]) {
    // Above those numbers, so that none of them is overwritten.
    let copies = sockets
        .each_ref()
        .map(|socket| fcntl_dupfd_cloexec(socket, 10).expect("a descriptor can be copied"));
    let pass = move || {
        for (number, copy) in (3..).zip(&copies) {
            // SAFETY: the number is only the target of a copy. Nothing is closed.
            #[expect(unsafe_code, reason = "a number has no safe form")]
            let mut target = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
            dup2(copy, &mut target)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes two system calls and nothing else. It takes
    // no lock and allocates nothing.
    #[expect(unsafe_code, reason = "pre_exec has no safe form")]
    unsafe {
        command.pre_exec(pass);
    }
}

/// Lets a command have this many descriptors: at first, and at the most.
pub(crate) fn limit_descriptors(command: &mut Command, soft: u64, hard: u64) {
    let limit = Rlimit { current: Some(soft), maximum: Some(hard) };
    let set = move || Ok(setrlimit(Resource::Nofile, limit)?);
    // SAFETY: between fork and exec the closure makes one system call and nothing else. It takes no
    // lock and allocates nothing.
    #[expect(unsafe_code, reason = "pre_exec has no safe form")]
    unsafe {
        command.pre_exec(set);
    }
}

pub(crate) fn exited(child: &mut Child) -> Option<ExitStatus> {
    child.try_wait().expect("it is a child of this process")
}

/// Sends a signal to a child that has not been waited for. After the wait, its process id may
/// belong to another process.
pub(crate) fn signal(child: &Child, what: Signal) {
    // This fails only if the process has ended by itself, and the test will notice that.
    kill_process(Pid::from_child(child), what).ok();
}

/// Kills a child (SIGKILL) and waits for it. Has no effect on one that has ended.
pub fn kill_and_wait(child: &mut Child) {
    child.kill().ok();
    child.wait().ok();
}

/// The CPU time that a process has used: `utime` plus `stime` of `/proc/PID/stat`.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // They are the 14th and 15th fields. The second is a name in parentheses and may hold anything.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let mut ticks = fields.split(' ').skip(11).map(|field| field.parse::<u32>().ok());
    let (Some(Some(user)), Some(Some(system))) = (ticks.next(), ticks.next()) else {
        return Err(io::Error::other(format!("/proc/{pid}/stat is not as in proc(5): {stat}")));
    };
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Ok(Duration::from_secs_f64((f64::from(user) + f64::from(system)) / per_second))
}
