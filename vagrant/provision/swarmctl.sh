#!/bin/sh
# Installs our package of /vagrant/dist and loads the demo's images.
#
#   swarmctl.sh ADDRESS    the address at which the other machines reach this one
set -eu
address=${1:?"the machine's address"}
dist=${DIST:-/vagrant/dist}

package=$(ls "$dist"/swarmctl_*.deb | tail -n 1)
installed=$(dpkg-query -W -f '${Version}' swarmctl 2>/dev/null || true)
if [ "$installed" != "$(dpkg-deb --field "$package" Version)" ]; then
    dpkg -i "$package" >/dev/null
fi

# A machine of Vagrant has two networks; the first is Vagrant's own.
settings=/etc/swarmctl/agent.toml
if ! grep -q "^advertise-addr = \"$address\"" "$settings"; then
    sed -i -e '/^advertise-addr = /d' -e '/^metrics-addr = /d' "$settings"
    printf 'advertise-addr = "%s"\nmetrics-addr = "%s"\n' "$address" "$address" >>"$settings"
    systemctl restart swarmctl-agent.service
fi
# Who may use docker may use the cluster.
if id vagrant >/dev/null 2>&1; then usermod -aG docker,swarmctl vagrant; fi

docker load --quiet --input "$dist/images/demo.tar" | sed "s/^/$(hostname): /"
echo "$(hostname): swarmctl $(dpkg-query -W -f '${Version}' swarmctl), unit $(systemctl is-active swarmctl-agent.service)"
