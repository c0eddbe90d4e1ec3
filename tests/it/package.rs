//! The scripts of the Debian package, run by the real dpkg in a copy of this system that nothing else sees.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::support::process;

/// Makes the copy below `$1`, as an overlay in a name space of its own, and a package of the scripts in `$2`, whose `systemctl`
/// only notes what it was told. Then an administrator's changes, an upgrade, a removal and a purge, and
/// what an earlier package and an administrator have left.
const LIFE: &str = r#"
mount -t tmpfs tmpfs "$1" && mkdir "$1/up" "$1/work" "$1/root" "$1/deb" "$1/deb/DEBIAN" || exit 77
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root" || exit 77
mount -t tmpfs tmpfs "$1/root/run" || exit 77
set -e
root="$1/root"
mkdir -p "$root/run/systemd/system"
printf '#!/bin/sh\necho "systemctl $*" >>/calls\n' >"$root/usr/local/bin/systemctl"
chmod +x "$root/usr/local/bin/systemctl"
cp "$2"/postinst "$2"/prerm "$2"/postrm "$1/deb/DEBIAN"
chmod 755 "$1"/deb/DEBIAN/*
package() {
    printf 'Package: trailkeeper\nVersion: %s\nArchitecture: all\nMaintainer: nobody\nDescription: scripts\n' "$1" \
        >"$2/deb/DEBIAN/control"
    dpkg-deb --build --root-owner-group "$2/deb" "$root/package.deb" >/dev/null
}
inside() { chroot "$root" env PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
show() {
    echo "== $1"
    inside stat -c '%U:%G %a %n' /var/log/audit-trails /var/log/trailkeeper /var/lib/trailkeeper /etc/trailkeeper
    cat "$root/calls"
    rm "$root/calls"
}
inside rm -rf /var/log/audit-trails /var/log/trailkeeper /var/lib/trailkeeper /etc/trailkeeper
inside groupadd siem
inside dpkg-statoverride --add root siem 2770 /var/lib/trailkeeper
package 1 "$1"
inside dpkg -i /package.deb >&2
show install
inside chmod 2755 /var/log/audit-trails
inside chgrp siem /var/log/audit-trails
inside chmod 700 /etc/trailkeeper
echo record >"$root/var/log/audit-trails/kept.log"
package 2 "$1"
inside dpkg -i /package.deb >&2
show upgrade
inside dpkg -r trailkeeper >&2
show remove
inside dpkg -P trailkeeper >&2
show purge
cat "$root/var/log/audit-trails/kept.log"
echo "== earlier group"
inside chgrp adm /var/log/audit-trails
inside dpkg -i /package.deb >"$1/said"
inside stat -c '%U:%G %a %n' /var/log/audit-trails
grep chgrp "$1/said"
inside chgrp trailkeeper /var/log/audit-trails
inside dpkg -i /package.deb >"$1/said"
grep chgrp "$1/said" || echo nothing to do
echo "== a link to a disk that is not mounted"
rm -r "$root/var/log/audit-trails"
ln -s /mnt/disk/trails "$root/var/log/audit-trails"
inside dpkg -i /package.deb >&2
readlink "$root/var/log/audit-trails"
"#;

const INSTALLED: &str = "\
== install
trailkeeper:trailkeeper 2750 /var/log/audit-trails
trailkeeper:trailkeeper 750 /var/log/trailkeeper
root:siem 2770 /var/lib/trailkeeper
root:root 755 /etc/trailkeeper
systemctl daemon-reload
";

/// What the administrator has chosen.
const CHOSEN: &str = "\
trailkeeper:siem 2755 /var/log/audit-trails
trailkeeper:trailkeeper 750 /var/log/trailkeeper
root:siem 2770 /var/lib/trailkeeper
root:root 700 /etc/trailkeeper
";

/// What becomes of the group of an earlier package, and of a link that leads nowhere now.
const LATER: &str = "\
== earlier group
trailkeeper:adm 2755 /var/log/audit-trails
    chgrp -R trailkeeper /var/log/audit-trails
nothing to do
== a link to a disk that is not mounted
/mnt/disk/trails
";

#[test]
fn the_package_makes_what_is_needed_restarts_what_runs_and_leaves_what_was_chosen_and_collected() {
    let folder = tempfile::tempdir().unwrap();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/debian");
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--mount", "sh", "-c", LIFE, "sh"])
        .arg(folder.path())
        .arg(scripts);
    let run = process::try_run(&mut unshare).filter(|run| run.code == 0 || !is_refused(run.code, &run.stderr));
    let Some(run) = run else {
        let reason = "NOT RUN: a test of the Debian package needs root, unshare, overlayfs and dpkg";
        let _ = writeln!(std::io::stderr(), "{reason}");
        return;
    };
    assert_eq!(run.code, 0, "{}\n{}", run.stdout, run.stderr);
    let restart = "systemctl daemon-reload\nsystemctl try-restart trailkeeper.service\n";
    let stop = "systemctl stop trailkeeper.service trailkeeper-collect.timer trailkeeper-collect.service\n";
    let disable = "systemctl disable trailkeeper.service trailkeeper-collect.timer\nrecord\n";
    let expected = format!(
        "{INSTALLED}== upgrade\n{CHOSEN}{restart}== remove\n{CHOSEN}{stop}systemctl daemon-reload\n== purge\n{CHOSEN}{disable}{LATER}"
    );
    assert_eq!(run.stdout, expected, "{}", run.stderr);
}

/// Whether this machine does not let a test make such a copy.
fn is_refused(code: i32, stderr: &str) -> bool {
    code == 77 || stderr.starts_with("unshare:")
}

#[test]
fn no_service_is_in_a_group_that_may_read_what_others_log() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["trailkeeper.service", "trailkeeper-collect.service"] {
        let unit = fs::read_to_string(root.join("samples/systemd").join(file)).unwrap();
        assert!(unit.contains("\nUser=trailkeeper\nGroup=trailkeeper\n"), "{file}");
    }
}
