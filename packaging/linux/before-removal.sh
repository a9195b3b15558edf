#!/bin/sh
# Before the program goes: every user's settings are put back as they were, or Claude
# Code would be pointed to a port that is gone. An upgrade changes nothing.
set -e
case "$1" in
upgrade | failed-upgrade | 1) exit 0 ;; # rpm counts what is left
esac
getent passwd | while IFS=: read -r user _ uid _ _ home _; do
	state="$home/.local/state/switchyard"
	record="$home/.config/autostart/dev.switchyard.Switchyard.desktop"
	[ -d "$state" ] || [ -e "$record" ] || continue
	# As that user, with nothing of ours in the environment.
	if ! setpriv --reuid="$uid" --regid="$(id -g "$user")" --init-groups --reset-env \
		env HOME="$home" XDG_RUNTIME_DIR="/run/user/$uid" switchyard uninstall --yes --force --keep-config; then
		echo "switchyard: the settings of $user were not put back; as $user: switchyard cloud" >&2
	fi
done
exit 0
