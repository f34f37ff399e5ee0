"""Tasks that are done in their order by one thread, while the caller makes the next one."""

from concurrent.futures import ThreadPoolExecutor


class Behind:
    """At most one task at work and none waiting, so that no more than two blocks of rows are held."""

    def __init__(self):
        self._pool, self._task = None, None

    def run(self, task):
        """Wait for the task before, and begin this one.

        Raises
        ------
        Exception
            What the task before raised.
        """
        self._wait()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="fastlmm_hlm sums")
        self._task = self._pool.submit(task)

    def finish(self):
        """Wait for the last task, and let the thread go; raises what it raised."""
        self._wait()
        self.let_go()

    def _wait(self):
        task, self._task = self._task, None
        if task is not None:
            try:
                task.result()
            except BaseException:
                self.let_go()
                raise

    def let_go(self):
        """End the thread after the task at work; what that raises is lost."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
