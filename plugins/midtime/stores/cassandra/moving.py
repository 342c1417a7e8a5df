"""All nodes of one cluster on their way into what is staged, or back: stopped, swapped, started as one act.

Every step is idempotent, and what a later try must know is said by marks on the nodes themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from midtime.errors import LeaseHeldError, MidtimeError, RestoreFailedError, TargetExistsError, ToolError
from midtime.stores.base import Say, Target
from midtime.stores.cassandra.cluster import Cluster, Member
from midtime.stores.cassandra.lifecycle import Lifecycle, listens
from midtime.stores.cassandra.ring import Ring
from midtime.stores.cassandra.swapping import KEPT, OWN_ALONE, PATIENCE, Progress, Swap
from midtime.stores.naming import WORKING_PREFIX

LOCK = f"{WORKING_PREFIX}lock"
# A link, because it appears with its content, or not at all.
_CLAIM = f"""
folder=$1 lock=$1/$2 run=$3 owner=$4
{OWN_ALONE}
make_folder "$folder"
ln -sT -- "$run" "$lock" 2>/dev/null || :
readlink -- "$lock"
"""
_HOLDER = 'readlink -- "$1/$2" || :'
_LET_GO = """
if [ "$(readlink -- "$1/$2" 2>/dev/null)" = "$3" ]; then rm -f -- "$1/$2"; fi
"""
_LOST = "midtime: the lock is not this run's any more"
# In the shell of what comes after it: whoever slept is told in the very moment in which it goes on.
_OURS = f"""
if [ "$(readlink -- "$1/$2" 2>/dev/null)" != "$3" ]; then echo "{_LOST}" >&2; exit 65; fi
shift 3
"""
_RAN = ".midtime_ran"
_SEEN_DOWN = ".midtime_seen_down"
_FINAL = ".midtime_final"
_MARK = 'mkdir -p -- "$1"; touch -- "$1/$2"; sync -f "$1" 2>/dev/null || sync'
_HAS = 'if [ -e "$1/$2" ]; then echo yes; fi'
_KEPT_FINALS = f'cd -- "$1" && for kept in {KEPT}*; do if [ -e "$kept/{_FINAL}" ]; then echo "$kept"; fi; done'
_UNMARK = 'rm -f -- "$1/$2"'
# The former file keeps its name until it is whole under the other, and so does the new one. A link to it stays one.
_CONFIGURE = """
config=$(readlink -f -- "$1") keys=$3
former=$config.$2
if [ ! -e "$former" ]; then cp -p -- "$config" "$former.new"; mv -- "$former.new" "$former"; fi
cp -p -- "$former" "$config.new"
{ grep -Ev "^($keys)[[:space:]]*:" "$former" || [ $? = 1 ]; echo; cat; } >"$config.new"
mv -- "$config.new" "$config"
sync -f "$config" 2>/dev/null || sync
"""
_CONFIGURE_BACK = """
config=$(readlink -f -- "$1")
former=$config.$2
rm -f -- "$config.new" "$former.new"
if [ -e "$former" ]; then mv -- "$former" "$config"; sync -f "$config" 2>/dev/null || sync; fi
"""


class Moving:
    """The nodes of the cluster that a target names.

    :param say: is told what was done, one line at a time
    :param alone: the cluster has other nodes than these
    """

    def __init__(self, cluster: Cluster, target: Target, say: Say, *, alone: bool = False) -> None:
        self.cluster, self.target, self.say, self.alone = cluster, target, say, alone
        self.life = Lifecycle(cluster, say)
        self.aside = target.aside or KEPT + target.working.removeprefix(WORKING_PREFIX)

    def swap(self, member: Member) -> Swap:
        """Of one node."""
        return Swap(member.node, member.layout.folders, self.target.working, self.aside, self.cluster.owner)

    # -- one restore at a time --------------------------------------------------------------------------------------------------------

    def claim(self) -> None:
        """Keep other restores from these nodes until :meth:`let_go`.

        :raises LeaseHeldError: another one has them
        """
        self.cluster.each(self._claim)

    def let_go(self) -> None:
        """Give the nodes back, as far as they are ours. Idempotent."""
        self.cluster.each(lambda member: member.node.shell(_LET_GO, member.layout.data[0], LOCK, self.target.working))

    def holder(self, member: Member) -> str:
        """The working name of the restore that has a node; empty: none has."""
        return member.node.shell(_HOLDER, member.layout.data[0], LOCK).strip()

    def _claim(self, member: Member) -> None:
        holder = member.node.shell(_CLAIM, member.layout.data[0], LOCK, self.target.working, self.cluster.owner).strip()
        if holder != self.target.working:
            raise LeaseHeldError(
                f"node {member.label} is taken by another restore, {holder}",
                fix=f"wait for its end, or for midtime__sweep if it died; the lock is {member.layout.data[0]}/{LOCK}",
            )

    def _as_holder(self, member: Member, script: str = "", *arguments: str, sent: bytes = b"") -> None:
        """Run a script there, if the node still is ours: a run that slept may have been ended, and the node be at work again.

        :raises LeaseHeldError: it is not
        """
        words = (member.layout.data[0], LOCK, self.target.working, *arguments)
        try:
            member.node.shell(_OURS + script, *words, sent=sent, timeout=PATIENCE)
        except ToolError as error:
            if _LOST in error.message:
                raise LeaseHeldError(
                    f"node {member.label} was given back meanwhile: this run was ended by its teardown or by midtime__sweep",
                    fix="start a new run",
                ) from error
            raise

    def _require_ours(self) -> None:
        """Nodes are ours as long as one says so: another may have lost its disk, and the lock with it.

        :raises LeaseHeldError: they are not
        """
        if self.target.working not in self.cluster.each(self.holder).values():
            raise LeaseHeldError(
                f"the nodes of {self.cluster.name} were given back meanwhile: this run was ended by its teardown or by midtime__sweep",
                fix="start a new run",
            )

    def require_untouched(self) -> None:
        """Nothing is staged where placing has begun: the marks of its way back lie among what is staged.

        :raises RestoreFailedError: it has
        """
        begun = self.cluster.each(lambda member: self.swap(member).look() is not Progress.UNTOUCHED)
        if any(begun.values()):
            raise RestoreFailedError(
                f"placing has begun on {', '.join(label for label, yes in begun.items() if yes)}",
                fix="clear `place` alone, which goes on; or let `release` or midtime__sweep put back what was there",
            )

    # -- forward and back --------------------------------------------------------------------------------------------------------------

    def ready(self) -> None:
        """All nodes have all that shall be moved in."""
        self.cluster.each(lambda member: self.swap(member).ready())

    def forward(self, configured: Mapping[str, Sequence[str]] | None = None) -> Ring:
        """Stop, set aside, move in, start. Goes on wherever an earlier try was.

        :param configured: by node: lines for its ``cassandra.yaml``, in place of those of the same keys
        :return: the ring, whole
        """
        self.swap_in(configured)
        return self.life.wait_whole()

    def swap_in(self, configured: Mapping[str, Sequence[str]] | None = None) -> None:
        """The same, up to the start."""
        states = set(self.cluster.each(lambda member: self.swap(member).look()).values())
        if states != {Progress.PLACED}:
            self.cluster.each(lambda member: self.swap(member).require_staged())
            if states == {Progress.UNTOUCHED}:
                self._note(self.life.running())
        if len(self._noted(_SEEN_DOWN)) < len(self.cluster.members):
            self.life.stop(self.cluster.members, before=self._as_holder)  # one that is just being restarted shows no life
            self.cluster.each(lambda member: self.swap(member).forward())
            self._require_down()
            self.cluster.each(lambda member: member.node.shell(_MARK, self._working(member), _SEEN_DOWN, timeout=PATIENCE))
            self.say(f"All nodes: what was live is kept as {self.aside}, what was staged is in its place")
        if configured is not None:
            self.cluster.each(lambda member: self._configure(member, configured[member.label]))
        self.life.start(self.cluster.members)

    def back(self) -> None:
        """The other way round; nodes that ran run again. Where nothing was done it does nothing.

        :raises LeaseHeldError: the nodes were given back meanwhile
        :raises RestoreFailedError: a swap failed, or somebody has started a node while its files were moved
        """
        self.cluster.each(lambda member: self.swap(member).halt())
        states = set(self.cluster.each(lambda member: self.swap(member).look()).values())
        ran = self._noted(_RAN)
        if states != {Progress.UNTOUCHED} or ran:
            self._require_ours()
            self._swap_back(states, ran)
        self.cluster.each(lambda member: self.swap(member).unhalt())

    def _swap_back(self, states: set[Progress], ran: Sequence[Member]) -> None:
        if states == {Progress.UNTOUCHED}:
            self._stop_again(ran)
        else:
            self.life.stop(self.cluster.members)
            self.cluster.each(lambda member: member.node.shell(_CONFIGURE_BACK, member.layout.config, self.aside, timeout=PATIENCE))
            self.cluster.each(lambda member: self.swap(member).back())
            self._require_down()
            self.say("All nodes: what was kept aside is live again")
        self.cluster.each(lambda member: member.node.shell(_UNMARK, self._working(member), _SEEN_DOWN))
        self.life.start(ran)
        if len(ran) == len(self.cluster.members) and not self.alone:
            self.life.wait_whole()
        self.cluster.each(lambda member: member.node.shell(_UNMARK, self._working(member), _RAN))

    def _stop_again(self, ran: Sequence[Member]) -> None:
        """Nothing was moved, but a stop of a try that died may be at work, and would stop what was started. One that fails is not."""
        try:
            self.life.stop(ran)
        except MidtimeError as error:
            self.say(f"Nothing was moved, so what could not be stopped goes on as it is: {error.message}")

    def drop(self) -> None:
        """Remove what is staged, and give the nodes back. Idempotent.

        :raises RestoreFailedError: a part of it is in place, and another is not
        """
        self.cluster.each(lambda member: self.swap(member).drop())
        self.let_go()

    def _require_down(self) -> None:
        """A server that somebody started meanwhile has files open that were moved away, and would be taken for one that we started."""
        if came := self.life.running():
            raise RestoreFailedError(
                f"{', '.join(member.label for member in came)} was started by somebody while the files were moved",
                fix="see what starts it (systemd's Restart=, an operator) and let `stop` prevent that, then run again",
            )

    def _note(self, running: Sequence[Member]) -> None:
        """Which nodes ran: those that did not, a lost one perhaps, must not be started on the way back."""
        labels = {member.label for member in running}
        self.cluster.each(
            lambda member: member.node.shell(_MARK, self._working(member), _RAN, timeout=PATIENCE) if member.label in labels else None,
        )

    def _noted(self, mark: str, where: str = "") -> list[Member]:
        found = self.cluster.each(
            lambda member: member.node.shell(_HAS, f"{member.layout.data[0]}/{where or self.target.working}", mark).strip()
        )
        return [member for member in self.cluster.members if found[member.label]]

    def _working(self, member: Member) -> str:
        return f"{member.layout.data[0]}/{self.target.working}"

    def _configure(self, member: Member, lines: Sequence[str]) -> None:
        if listens(member):
            return  # an earlier try's start
        text, keys = "".join(f"{line}\n" for line in lines), "|".join(line.partition(":")[0] for line in lines)
        try:
            self._as_holder(member, _CONFIGURE, member.layout.config, self.aside, keys, sent=text.encode())
        except ToolError as error:
            raise type(error)(f"node {member.label}: cannot write {member.layout.config}: {error.message}", fix=error.fix) from error

    # -- to stay -----------------------------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """What is in place on another cluster stays there."""
        self.cluster.each(lambda member: member.node.shell(_MARK, f"{member.layout.data[0]}/{self.aside}", _FINAL, timeout=PATIENCE))

    def unkeep(self) -> None:
        """It goes when it is discarded."""
        self.cluster.each(lambda member: member.node.shell(_UNMARK, f"{member.layout.data[0]}/{self.aside}", _FINAL))

    @property
    def kept(self) -> bool:
        """Whether it stays."""
        return bool(self._noted(_FINAL, self.aside))

    def require_lent(self) -> None:
        """Another cluster is ours to fill as long as no restore has brought to it what is to stay: by now it may be the one that is used.

        :raises TargetExistsError: one has
        """
        found = self.cluster.each(lambda member: member.node.shell(_KEPT_FINALS, member.layout.data[0]).split())
        if stays := sorted({name for names in found.values() for name in names} - {self.aside}):
            raise TargetExistsError(
                f"cluster {self.cluster.name} holds what a restore has brought there to stay ({', '.join(stays)} in its data directories)",
                fix="take it out of drill.targets if it is in use; or, if what is in it may be lost, remove that folder on each of its nodes",
            )
