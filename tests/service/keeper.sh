# A family of one laptop and a keeper, both run by systemd; every line says what was seen to hold.
install -m 755 /given/heirloom /usr/local/bin/heirloom
holds() { echo "holds: $*"; }
wait_for() { for _ in $(seq 300); do if eval "$1" > /dev/null 2>&1; then return; fi; sleep 0.1; done; echo "never: $1"; systemctl --no-pager status 'heirloom*' || true; journalctl --no-pager -n 40 || true; exit 1; }
as_anna() { runuser -u anna -- "$@"; }
keeper() { heirloom --home /var/lib/heirloom "$@"; }

# The keeper, before it belongs to anybody.
heirloom service install --keeper
[ "$(systemctl is-active heirloom-keeper)" = active ]
[ "$(systemctl is-enabled heirloom-keeper)" = enabled ]
[ "$(stat -Lc %a /var/lib/heirloom)" = 700 ]
holds "a keeper is installed, enabled and ready before it belongs to a family"
systemd-analyze security --no-pager heirloom-keeper | tail -n 1

# The laptop, as a service of the system that runs as Anna.
useradd --create-home anna
as_anna heirloom init --family Berger --person Anna --no-recovery > /dev/null
SUDO_USER=anna heirloom service install
[ "$(systemctl show -p User --value heirloom@anna)" = anna ]
as_anna heirloom import /given/photo.bmp --album Summer > /dev/null
as_anna heirloom --json list | grep -q '"preview":"made"'
holds "a node runs as the account that called sudo, and its workers make previews"

# The keeper joins through its running service.
as_anna heirloom --json --yes invite --keeper nas > /run/invite 2>&1 &
wait_for 'grep -q "\"type\":\"invite\"" /run/invite'
sed -n 's/.*"code":"\([^"]*\)".*/\1/p' /run/invite | head -n 1 > /run/code
keeper --yes join --device nas - < /run/code
wait
owner=$(stat -Lc %U /var/lib/heirloom)
[ "$owner" != root ] && [ -z "$(find /var/lib/private/heirloom ! -user "$owner")" ]
wait_for 'as_anna heirloom --json list | grep -q "\"copies\":2"'
holds "the keeper joined, holds the photo, and all that it holds is its own account's"

# A restart of the service, and a node that hangs.
systemctl restart heirloom-keeper
wait_for 'as_anna heirloom --json peer list | grep -q "\"path\":\"[a-z]"'
mkdir /run/systemd/system/heirloom-keeper.service.d
printf '[Service]\nWatchdogSec=2\n' > /run/systemd/system/heirloom-keeper.service.d/soon.conf
systemctl daemon-reload
systemctl restart heirloom-keeper
first=$(systemctl show -p MainPID --value heirloom-keeper)
sleep 5
[ "$(systemctl show -p MainPID --value heirloom-keeper)" = "$first" ]
holds "a node that lives is left alone"
kill -STOP "$first"
wait_for '[ "$(systemctl show -p NRestarts --value heirloom-keeper)" = 1 ] && systemctl is-active heirloom-keeper'
[ "$(systemctl show -p MainPID --value heirloom-keeper)" != "$first" ]
keeper verify > /dev/null
holds "a node that hangs is started anew, and its home is whole"

# The journal.
keeper log > /run/shown
grep -q 'heirloom' /run/shown
! grep -q -e Summer -e Anna -e Berger -e photo.bmp /run/shown
holds "heirloom log shows the journal of the service, without names"

# root does not write into what is another account's.
systemctl stop heirloom-keeper
set +e
keeper status > /run/refused 2>&1
exit=$?
set -e
[ $exit = 1 ] && grep -q 'belongs to another account' /run/refused
systemctl start heirloom-keeper
keeper status > /dev/null
holds "root is refused at a keeper's home while the service does not run"

heirloom service status | grep -q 'heirloom@anna.service runs'
heirloom service remove
[ ! -e /etc/systemd/system/heirloom-keeper.service ] && [ ! -e /etc/systemd/system/heirloom@.service ]
! systemctl is-active --quiet heirloom-keeper
! systemctl is-active --quiet heirloom@anna
[ -d /var/lib/private/heirloom/blobs ] && [ -d /home/anna/.local/share/heirloom/blobs ]
holds "both are removed, and the photos stay"
# A service of Anna's own systemd.
if systemctl start "user@$(id -u anna)" 2> /dev/null; then
    mine() { as_anna env HOME=/home/anna "XDG_RUNTIME_DIR=/run/user/$(id -u anna)" heirloom "$@"; }
    mine service install
    mine service status | grep -q 'heirloom.service runs'
    mine list --json | grep -q photo.bmp
    mine export /home/anna/out > /dev/null
    cmp /home/anna/out/*/*photo.bmp /given/photo.bmp
    mine service remove
    ! mine service status > /dev/null
    holds "Anna's own service is installed, serves, exports and is removed"
else
    echo "not shown: a service of an account's own systemd, which does not start here"
fi
