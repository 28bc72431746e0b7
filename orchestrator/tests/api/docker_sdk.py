"""The calls of docker-py's own integration tests about swarms, against the socket in DOCKER_HOST."""

import os
import time

import docker
from docker.errors import APIError
from docker.types import (
    ConfigReference, ContainerSpec, DNSConfig, EndpointSpec, Healthcheck, IPAMConfig, IPAMPool, Mount,
    NetworkAttachmentConfig, Placement, PlacementPreference, Resources, RestartPolicy, RollbackConfig,
    SecretReference, ServiceMode, TaskTemplate, UpdateConfig,
)

IMAGE = "demo/web:1"


def until(what, looks, seconds=20):
    end = time.monotonic() + seconds
    while not looks():
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.05)


def refused(call, status, words=""):
    try:
        call()
    except APIError as error:
        assert error.status_code == status, (error.status_code, status, str(error))
        assert words in str(error), str(error)
    else:
        raise AssertionError(f"not refused: {words}")


def swarm(client):
    api = client.api
    info = api.inspect_swarm()
    for key in ("ID", "Version", "Spec", "JoinTokens", "CreatedAt", "UpdatedAt"):
        assert key in info, key
    assert client.info()["Swarm"]["LocalNodeState"] == "active"
    spec = api.create_swarm_spec(snapshot_interval=5000, log_entries_for_slow_followers=1200, task_history_retention_limit=4)
    assert api.update_swarm(version=info["Version"]["Index"], swarm_spec=spec)
    assert api.inspect_swarm()["Spec"]["Orchestration"]["TaskHistoryRetentionLimit"] == 4
    worker = api.inspect_swarm()["JoinTokens"]["Worker"]
    version = api.inspect_swarm()["Version"]["Index"]
    assert api.update_swarm(version=version, rotate_worker_token=True)
    assert api.inspect_swarm()["JoinTokens"]["Worker"] != worker
    client.swarm.reload()
    assert client.swarm.update(rotate_manager_token=True)
    assert client.swarm.version > version
    refused(lambda: api.init_swarm(), 503)
    refused(lambda: api.join_swarm(["192.0.2.9:2377"], "SWMTKN-1-x-y"), 503)
    assert api.get_unlock_key() is not None
    # Without a key there is none to rotate, and that is no error.
    assert api.update_swarm(version=client.swarm.version, rotate_manager_unlock_key=True)


def nodes(client):
    api = client.api
    found = api.nodes()
    assert len(found) == 3
    node = api.inspect_node(found[0]["ID"])
    assert node["Version"]["Index"] == found[0]["Version"]["Index"]
    assert api.nodes(filters={"role": "manager"})[0]["ManagerStatus"]["Leader"] is True
    worker = next(n for n in client.nodes.list() if n.attrs["Spec"]["Role"] == "worker")
    assert client.nodes.get(worker.id).id == worker.id
    spec = {"Availability": "active", "Name": "renamed", "Role": "worker", "Labels": {"foo": "bar"}}
    assert worker.update(spec)
    worker.reload()
    assert worker.attrs["Spec"]["Labels"] == {"foo": "bar"}
    refused(lambda: api.remove_node(worker.id), 400, "is not down")
    refused(lambda: api.inspect_node("nosuch"), 404)


def secrets_and_configs(client):
    api = client.api
    made = api.create_secret("favorite", b"sakuya izayoi", labels={"a": "b"})
    assert "ID" in made
    assert api.inspect_secret(made)["Spec"]["Name"] == "favorite"
    assert len(api.secrets(filters={"name": ["favorite"]})) == 1
    secret = client.secrets.create(name="model", data="value")
    assert secret.name == "model"
    assert {s.name for s in client.secrets.list()} == {"favorite", "model"}
    secret.remove()
    refused(lambda: client.secrets.get("model"), 404)
    refused(lambda: api.create_secret("favorite", b"again"), 409)
    made = api.create_config("site", b"key=value", labels={"a": "b"})
    assert api.inspect_config(made)["Spec"]["Name"] == "site"
    config = client.configs.create(name="other", data="value", templating={"name": "golang"})
    assert config.name == "other"
    assert api.inspect_config(config.id)["Spec"]["Templating"]["Name"] == "golang"
    assert {c.name for c in client.configs.list()} == {"site", "other"}
    assert config.remove()


def networks(client):
    api = client.api
    pool = IPAMPool(subnet="10.77.0.0/24", gateway="10.77.0.1")
    made = api.create_network("front", driver="overlay", ipam=IPAMConfig(pool_configs=[pool]), labels={"a": "b"},
                              attachable=True, scope="swarm", options={"encrypted": "false"})
    shown = api.inspect_network(made["Id"], verbose=True)
    assert shown["IPAM"]["Config"][0]["Subnet"] == "10.77.0.0/24" and shown["Attachable"]
    assert [n.name for n in client.networks.list(names=["front"])] == ["front"]
    assert client.networks.list(filters={"driver": "overlay"})
    back = client.networks.create("back", driver="overlay", internal=True)
    back.reload()
    assert back.attrs["Internal"]
    back.remove()
    refused(lambda: client.networks.get("back"), 404)
    refused(lambda: api.create_network("second", driver="overlay", ingress=True), 409, "already present")
    assert api.remove_network("ingress") is None
    made = api.create_network("gate", driver="overlay", ingress=True)
    assert api.inspect_network(made["Id"])["Ingress"] is True


def settings():
    secret = docker_client.api.secrets(filters={"name": "favorite"})[0]["ID"]
    config = docker_client.api.configs(filters={"name": "site"})[0]["ID"]
    container = ContainerSpec(
        IMAGE, command=["serve"], args=["--flag"], hostname="h", env={"A": "1"}, workdir="/srv", user="1:2",
        labels={"c": "d"}, mounts=[Mount("/data", "data", type="volume"), Mount("/t", None, type="tmpfs", tmpfs_size=1024)],
        stop_grace_period=3_000_000_000, secrets=[SecretReference(secret, "favorite", "pw", mode=0o400)],
        tty=False, groups=["adm"], open_stdin=False, healthcheck=Healthcheck(test="true", interval=5_000_000_000),
        hosts={"db": "10.0.0.2"}, dns_config=DNSConfig(nameservers=["10.0.0.1"], search=["example.com"]),
        configs=[ConfigReference(config, "site", "/etc/site")], privileges=None, isolation=None, init=True,
        cap_add=["NET_ADMIN"], cap_drop=["ALL"], sysctls={"net.core.somaxconn": "99"}, read_only=True,
    )
    return TaskTemplate(
        container, resources=Resources(cpu_limit=500_000_000, mem_limit=64 << 20, cpu_reservation=100_000_000, mem_reservation=32 << 20),
        restart_policy=RestartPolicy(condition="on-failure", delay=1_000_000_000, max_attempts=3, window=10_000_000_000),
        placement=Placement(constraints=["node.platform.os == linux"], preferences=[PlacementPreference("spread", "node.labels.zone")],
                            maxreplicas=3, platforms=[("x86_64", "linux")]),
        log_driver={"Name": "json-file", "Options": {"max-size": "1m"}}, networks=[NetworkAttachmentConfig("front", aliases=["w"])],
        force_update=0,
    )


def services(client):
    api = client.api
    made = api.create_service(
        settings(), name="full", labels={"tier": "front"}, mode=ServiceMode("replicated", 2),
        update_config=UpdateConfig(parallelism=1, delay=1_000_000, failure_action="rollback", monitor=10_000_000,
                                   max_failure_ratio=0.2, order="start-first"),
        rollback_config=RollbackConfig(parallelism=2, delay=0, failure_action="pause", monitor=10_000_000, order="stop-first"),
        endpoint_spec=EndpointSpec(mode="vip", ports={8080: (80, "tcp"), 8081: 81}),
    )
    service = api.inspect_service(made, insert_defaults=True)
    spec = service["Spec"]
    container = spec["TaskTemplate"]["ContainerSpec"]
    assert container["Env"] == ["A=1"] and container["Hosts"] == ["10.0.0.2 db"] and container["Init"]
    assert spec["TaskTemplate"]["Placement"]["MaxReplicas"] == 3
    assert {p["PublishedPort"] for p in service["Endpoint"]["Ports"]} == {8080, 8081}
    listed = api.services(filters={"name": "full"}, status=True)
    assert listed[0]["ServiceStatus"]["DesiredTasks"] == 2, listed
    until("two tasks run", lambda: sum(t["Status"]["State"] == "running" for t in api.tasks(filters={"service": "full"})) == 2)
    task = api.tasks(filters={"service": "full", "desired-state": "running"})[0]
    assert api.inspect_task(task["ID"])["ServiceID"] == service["ID"]
    b"".join(api.service_logs("full", stdout=True, stderr=True, follow=False))
    refused(lambda: api.create_service(settings(), name="full"), 409, "already exists")
    refused(lambda: api.inspect_service("nosuch"), 404)

    older = api.create_service(TaskTemplate(ContainerSpec(IMAGE)), name="older", networks=["front"], rollback_config={"order": "start-first"})
    spec = api.inspect_service(older)["Spec"]
    assert [n["Target"] for n in spec["Networks"]] == [client.networks.get("front").id], spec
    assert "Networks" not in spec["TaskTemplate"] and spec["RollbackConfig"]["Order"] == "start-first", spec

    web = client.services.create(IMAGE, name="web", command="serve", labels={"a": "b"}, env=["A=1"], networks=["front"],
                                 mode=ServiceMode("replicated", 1), endpoint_spec=EndpointSpec(ports={9090: 90}),
                                 update_config=UpdateConfig(monitor=10_000_000))
    assert web.name == "web" and client.services.get(web.id).name == "web"
    assert client.services.list(filters={"label": "a=b"})[0].id == web.id
    until("the task runs", lambda: [t["Status"]["State"] for t in web.tasks()] == ["running"])
    assert web.update(image="demo/web:2", labels={"a": "c"}, env=["B=2"], force_update=7)
    web.reload()
    container = web.attrs["Spec"]["TaskTemplate"]["ContainerSpec"]
    assert container["Image"] == "demo/web:2" and container["Env"] == ["B=2"]
    assert web.attrs["Spec"]["TaskTemplate"]["ForceUpdate"] == 7
    assert web.attrs["Spec"]["EndpointSpec"]["Ports"], "kept by the client's read, change and write"
    assert web.scale(3)
    web.reload()
    assert web.attrs["Spec"]["Mode"]["Replicated"]["Replicas"] == 3
    until("it is updated", lambda: len(web.tasks(filters={"desired-state": "running"})) == 3)
    assert web.force_update()
    web.reload()
    version = web.version
    refused(lambda: client.api.update_service(web.id, version - 1, TaskTemplate(ContainerSpec("demo/web:3")), name="web"), 409, "out of sequence")
    b"".join(web.logs(stdout=True, stderr=True))
    for name, mode in (("glob", ServiceMode("global")), ("job", ServiceMode("replicated-job", 2, 2)), ("gjob", ServiceMode("global-job"))):
        made = client.services.create(IMAGE, name=name, mode=mode)
        assert made.name == name
    until("the job is done", lambda: sum(t["Status"]["State"] == "complete" for t in api.tasks(filters={"service": "job"})) == 2)
    assert not client.services.get("glob").attrs["Spec"]["Mode"].get("Replicated")
    for service in client.services.list():
        assert service.remove()
    until("nothing is left", lambda: not client.services.list())
    refused(lambda: web.remove(), 404)


def events(client):
    stream = client.events(decode=True, filters={"type": "service"})
    made = client.services.create(IMAGE, name="told")
    event = next(stream)
    assert (event["Type"], event["Action"], event["Actor"]["Attributes"]["name"]) == ("service", "create", "told"), event
    stream.close()
    made.remove()


def old_versions(host):
    for version in ("1.24", "1.30", "1.41", "1.44", "1.51"):
        client = docker.DockerClient(base_url=host, version=version)
        assert client.nodes.list() and client.services.list() == []
        client.close()


docker_client = docker.from_env()
for part in (swarm, nodes, secrets_and_configs, networks, services, events):
    part(docker_client)
    print(part.__name__, "ok")
old_versions(os.environ["DOCKER_HOST"])
print("all ok")
