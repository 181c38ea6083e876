# The Debian package on a machine where nothing of Heirloom was; every line says what was seen to hold.
holds() { echo "holds: $*"; }
gone() { for path in "$@"; do [ ! -e "$path" ] || { echo "left behind: $path"; exit 1; }; done; }
as_anna() { runuser -u anna -- heirloom "$@"; }
rm -f /usr/local/bin/heirloom

told=$(dpkg --install /given/heirloom.deb 2>&1)
! grep -v -e '^Selecting' -e '^(Reading' -e '^Preparing' -e '^Unpacking' -e '^Setting up' -e '^Processing' <<< "$told"
[ "$(command -v heirloom)" = /usr/bin/heirloom ]
man --where heirloom-invite > /dev/null || [ -f /usr/share/man/man1/heirloom-invite.1.gz ]
! systemctl is-enabled --quiet heirloom-keeper
holds "it installs with nothing to say and starts nothing"

useradd --create-home anna
as_anna init --family Berger --person Anna --no-recovery > /dev/null
systemctl enable --now --quiet heirloom@anna heirloom-keeper
as_anna --json status | grep -q '"node":"running"'
systemctl restart heirloom@anna
as_anna --json status | grep -q '"node":"running"'
holds "its units start a node and a keeper, and start them again"

systemctl enable --quiet heirloom@anna
SUDO_USER=anna heirloom service install > /dev/null
gone /etc/systemd/system/heirloom@.service
heirloom service status | grep -q 'heirloom@anna.service runs'
holds "heirloom service install takes the package's units"

before=$(systemctl show -p MainPID --value heirloom@anna)
dpkg --install /given/heirloom.deb > /dev/null 2>&1
systemctl is-active --quiet heirloom@anna heirloom-keeper
[ "$(systemctl show -p MainPID --value heirloom@anna)" != "$before" ]
as_anna --json status | grep -q '"node":"running"'
holds "an upgrade goes on with what ran"

dpkg --remove heirloom > /dev/null 2>&1
! systemctl is-active --quiet heirloom@anna
! systemctl is-active --quiet heirloom-keeper
gone /usr/bin/heirloom /usr/lib/systemd/system/heirloom-keeper.service /usr/lib/systemd/system/heirloom@.service \
    /usr/lib/systemd/user/heirloom.service /usr/share/applications/heirloom.desktop /usr/share/doc/heirloom \
    /etc/systemd/system/multi-user.target.wants/heirloom-keeper.service \
    /etc/systemd/system/multi-user.target.wants/heirloom@anna.service
dpkg --purge heirloom > /dev/null 2>&1
! dpkg --status heirloom > /dev/null 2>&1
[ -f /home/anna/.local/share/heirloom/heirloom.redb ] && [ -d /var/lib/private/heirloom ]
holds "removed and purged, nothing is left but the homes"
