//! The worker processes: started, signalled and buried here, and by nobody else.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::{
    harness::{Result, until},
    job::Job,
};

/// How long a worker may take to end gracefully, beyond its time to drain.
const LEAVE: Duration = Duration::from_secs(45);

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) number: u32,
    child: Child,
}

/// Workers with equal jobs. Whatever happens, none outlives it.
#[derive(Debug)]
pub(crate) struct Fleet {
    dir: PathBuf,
    pub(crate) job: Job,
    workers: Vec<Worker>,
    started: u32,
}

impl Fleet {
    pub(crate) fn new(dir: PathBuf, job: Job) -> Self {
        Self {
            dir,
            job,
            workers: Vec::new(),
            started: 0,
        }
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.workers.iter().map(|worker| worker.number).collect()
    }

    /// Starts one more, and waits until it is about to consume.
    pub(crate) fn start(&mut self) -> Result<u32> {
        let number = self.started;
        self.started += 1;
        let job = Job {
            worker: number,
            ..self.job.clone()
        };
        let log = File::create(self.dir.join(format!("worker-{number}.log")))?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["worker", &serde_json::to_string(&job)?])
            // Writing out a stack takes longer than the handlers do.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        die_with_parent(&mut command);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take();
        self.workers.push(Worker { number, child });
        let mut line = String::new();
        BufReader::new(stdout.ok_or("no pipe")?).read_line(&mut line)?;
        match line.as_str() {
            "ready\n" => Ok(number),
            _ => Err(format!("worker {number} didn't start, see its log").into()),
        }
    }

    fn find(&mut self, number: u32) -> Result<&mut Worker> {
        let mut workers = self.workers.iter_mut();
        let found = workers.find(|worker| worker.number == number);
        found.ok_or_else(|| format!("no worker {number}").into())
    }

    fn signal(&mut self, number: u32, signal: i32) -> Result<()> {
        let worker = self.find(number)?;
        if let Some(status) = worker.child.try_wait()? {
            return Err(format!("worker {number} ended by itself: {status}").into());
        }
        send(&worker.child, signal);
        Ok(())
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, number: u32) -> Result<()> {
        self.signal(number, libc::SIGKILL)?;
        self.find(number)?.child.wait()?;
        self.workers.retain(|worker| worker.number != number);
        Ok(())
    }

    /// SIGSTOP.
    pub(crate) fn pause(&mut self, number: u32) -> Result<()> {
        self.signal(number, libc::SIGSTOP)
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self, number: u32) -> Result<()> {
        self.signal(number, libc::SIGCONT)
    }

    /// SIGTERM. Gives the time that the worker took; an error unless it ended well.
    pub(crate) fn stop(&mut self, number: u32) -> Result<Duration> {
        let begun = Instant::now();
        self.signal(number, libc::SIGTERM)?;
        let limit = self.job.drain + LEAVE;
        let status = self.wait(number, limit)?;
        match status.success() {
            true => Ok(begun.elapsed()),
            false => Err(format!("worker {number} ended with {status}").into()),
        }
    }

    /// Waits until a worker ends.
    pub(crate) fn wait(&mut self, number: u32, limit: Duration) -> Result<ExitStatus> {
        let mut status = None;
        until(&format!("worker {number} ends"), limit, || {
            status = self.find(number)?.child.try_wait()?;
            Ok(status.is_some())
        })?;
        self.workers.retain(|worker| worker.number != number);
        status.ok_or_else(|| "no status".into())
    }

    /// The signal that ended a worker, if it has ended.
    pub(crate) fn ended(&mut self, number: u32) -> Result<Option<i32>> {
        let status = self.find(number)?.child.try_wait()?;
        if status.is_some() {
            self.workers.retain(|worker| worker.number != number);
        }
        Ok(status.map(|status| status.signal().unwrap_or_default()))
    }

    /// Stops all of them, one after the other. Says what went wrong.
    pub(crate) fn stop_all(&mut self) -> Vec<String> {
        let numbers = self.numbers().into_iter();
        let stopped = numbers.map(|number| self.stop(number));
        stopped
            .filter_map(|stopped| Some(stopped.err()?.to_string()))
            .collect()
    }

    /// How much memory a worker has, in bytes.
    pub(crate) fn resident(&mut self, number: u32) -> Result<u64> {
        let pid = self.find(number)?.child.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes: u64 = line
            .and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
            .ok_or("no VmRSS")?;
        Ok(kibibytes << 10)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // Fails where it has ended; SIGKILL also ends what is stopped.
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}

#[expect(unsafe_code, reason = "std sends no signal but SIGKILL")]
fn send(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).expect("a process id");
    // SAFETY: no memory is passed. The process was started here and not waited for yet, so that its
    // id is still its own.
    unsafe { libc::kill(pid, signal) };
}

/// Lets the kernel kill the child when this process dies in a way that runs no destructor. Workers
/// are started by the main thread: the kernel looks at the thread.
#[expect(unsafe_code, reason = "std has nothing for it")]
fn die_with_parent(command: &mut Command) {
    // SAFETY: runs between fork and exec, where `prctl` is a plain system call without memory.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}
