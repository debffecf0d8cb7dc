"""moto's EC2, S3, IAM, SSM, Lambda and ECR behind a layer that behaves more like AWS, and worse on demand.

    fault_server.py PORT

(1) What moto leaves out and the scripts rely on is added: zones exist, gp3 limits and ratios hold, a volume is at least
    as large as its snapshot, initialization rates need a snapshot, an attachment needs the same zone, a free volume, a
    free device name and a machine that lives; client tokens replay; placement groups exist.
(2) Rules, POST /_fault/rules, a JSON list of {action, nth, times, kind, ...}: from the nth matching call on (default
    1), `times` times (default 1, 0 = always):
        error  {code, status, message}    answer with this error; the backend never sees the call
        sub    {find, put}                let the backend answer, then replace text in the answer
        reply  {body}                     answer with this body
        delay  {seconds}                  answer late
        hang                              never answer
        drop                              let the backend act, then close the connection without an answer
        act    {do}                       run one fixture operation (see WORLD) before the call
(3) GET /_fault/log: every call, as {service, action, key, params}; key is the access key of the caller. POST /_fault/reset: an empty world, no rules, no log.
(4) POST /_world, a JSON list of fixture operations: makes the state that a test starts from without going through the
    command line; answers with the list of ids.
Everything happens in one process, on loopback.
"""

import datetime
import hashlib
import io
import json
import re
import socket
import sys
import threading
import time
import urllib.parse

from moto.ec2.models import ec2_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.ssm.models import Parameter, ssm_backends
from werkzeug.serving import WSGIRequestHandler, make_server

ACCOUNT = "123456789012"
REGION = "us-east-1"
MAIN_APP = DomainDispatcherApplication(create_backend_app)


class State:
    def __init__(self):
        self.lock = threading.RLock()
        self.clear()

    def clear(self):
        self.rules, self.log, self.tokens, self.placement_groups = [], [], {}, {}


STATE = State()


def backend():
    return ec2_backends[ACCOUNT][REGION]


# --- what a request is -------------------------------------------------------------------------------------------------


def describe_request(environ, body):
    """(service, action, params) of a request, for the rules and for the log."""
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request", authorization)
    service = scope.group(1) if scope else "unknown"
    method, path = environ["REQUEST_METHOD"], urllib.parse.unquote(environ["PATH_INFO"])
    query = dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    if service == "s3":
        bucket, _, key = path.lstrip("/").partition("/")
        params = {"bucket": bucket, "key": key, **query}
        for header in ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"):
            if header in environ:
                params[header[5:].replace("_", "-").title()] = environ[header]
        verb = {"PUT": "Put", "GET": "Get", "HEAD": "Head", "DELETE": "Delete", "POST": "Post"}[method]
        subresource = next((name for name in ("encryption", "publicAccessBlock", "delete", "uploads", "uploadId", "location", "tagging") if name in query), None)
        if subresource:
            action = f"{verb}{subresource[0].upper()}{subresource[1:]}"
        elif key:
            action = f"{verb}Object"
        else:
            action = "ListObjectsV2" if method == "GET" else f"{verb}Bucket"
        return service, action, params
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        try:
            params = json.loads(body or b"{}")
        except ValueError:
            params = {}
        return service, target.split(".")[-1], params
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        params = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        return service, params.pop("Action", "unknown"), params
    return service, f"{method} {path}", {"body": body.decode(errors="replace")[:4000]}


def members(params, prefix):
    """The values of Prefix.1, Prefix.2, … of a query request."""
    return [value for key, value in sorted(params.items()) if re.fullmatch(re.escape(prefix) + r"\.\d+", key)]


# --- errors in the form each service has ---------------------------------------------------------------------------------


def error_answer(service, code, message, status):
    if service == "s3":
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    elif service in ("ssm", "ecr", "lambda"):
        body = json.dumps({"__type": code, "message": message})
    elif service in ("autoscaling", "iam", "sts"):
        body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    else:
        body = f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>test</RequestID></Response>"
    kind = "application/json" if body.startswith("{") else "text/xml"
    headers = [("Content-Type", kind)]
    if service == "lambda":
        headers.append(("x-amzn-ErrorType", code))
    return status, headers, body.encode()


class Refused(Exception):
    def __init__(self, code, message, status=400):
        super().__init__(message)
        self.code, self.status = code, status


# --- (1) what EC2 checks and moto does not -------------------------------------------------------------------------------


def zones():
    return {zone.name: zone.zone_id for zone in backend().describe_availability_zones([], [], [])}


def check_create_volume(params):
    zone = params.get("AvailabilityZone")
    if zone not in zones():
        raise Refused("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
    size = int(params.get("Size", 0) or 0)
    snapshot = params.get("SnapshotId")
    if snapshot:
        known = backend().snapshots.get(snapshot)
        if known is None:
            raise Refused("InvalidSnapshot.NotFound", f"The snapshot '{snapshot}' does not exist.")
        if size and size < known.volume.size:
            raise Refused("InvalidParameterValue", "Volume size is smaller than the snapshot")
    rate = params.get("VolumeInitializationRate")
    if rate is not None:
        if not snapshot:
            raise Refused("InvalidParameterCombination", "VolumeInitializationRate needs a snapshot")
        if not 100 <= int(rate) <= 300:
            raise Refused("InvalidParameterValue", "VolumeInitializationRate must be from 100 to 300")
    if params.get("VolumeType") == "gp3":
        iops, throughput = int(params.get("Iops", 3000)), int(params.get("Throughput", 125))
        if not 3000 <= iops <= 80000 or not 125 <= throughput <= 2000 or not 1 <= size <= 65536 and not snapshot:
            raise Refused("InvalidParameterValue", "gp3 size, IOPS or throughput out of range")
        if throughput > 0.25 * iops:
            raise Refused("InvalidParameterCombination", "Throughput (MiBps) to iops ratio is more than 0.25")


def check_attach_volume(params):
    world = backend()
    volume, instance = world.volumes.get(params["VolumeId"]), world.get_instance(params["InstanceId"])
    if volume is None:
        return
    if instance.state in ("terminated", "shutting-down"):
        raise Refused("IncorrectState", f"Instance '{instance.id}' is not 'running'.")
    if volume.attachment is not None:
        raise Refused("VolumeInUse", f"{volume.id} is already attached to an instance")
    if volume.zone.name != instance.placement.zone:
        raise Refused("InvalidVolume.ZoneMismatch", f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'")
    if params["Device"] in instance.block_device_mapping:
        raise Refused("InvalidParameterValue", f"Invalid value '{params['Device']}' for unixDevice. Attachment point {params['Device']} is already in use")


def check_run_instances(params):
    for key, value in params.items():
        if key.endswith("PlacementGroup.GroupName") or key == "Placement.GroupName":
            if value not in STATE.placement_groups:
                raise Refused("InvalidPlacementGroup.Unknown", f"The placement group '{value}' does not exist")


def with_root_sizes(params):
    """EC2 takes the size of a root disk from the image where the request names none; moto wants it in the request."""
    added = {}
    for key in params:
        match = re.fullmatch(r"((?:LaunchTemplateData\.)?BlockDeviceMapping\.\d+\.Ebs)\.Encrypted", key)
        if match and f"{match.group(1)}.VolumeSize" not in params and f"{match.group(1)}.SnapshotId" not in params:
            added[f"{match.group(1)}.VolumeSize"] = "8"
    return {**params, **added} if added else None


CHECKS = {"CreateVolume": check_create_volume, "AttachVolume": check_attach_volume, "RunInstances": check_run_instances}


def placement_group_answer(action, params):
    """Placement groups, which moto has not."""
    head = '<?xml version="1.0"?>'

    def item(name):
        group = STATE.placement_groups[name]
        tags = "".join(f"<item><key>{k}</key><value>{v}</value></item>" for k, v in group["tags"].items())
        return (f"<groupName>{name}</groupName><strategy>{group['strategy']}</strategy><state>available</state>"
                f"<groupId>{group['id']}</groupId><tagSet>{tags}</tagSet>")

    if action == "CreatePlacementGroup":
        name = params["GroupName"]
        if name in STATE.placement_groups:
            raise Refused("InvalidPlacementGroup.Duplicate", f"The placement group '{name}' already exists.")
        tags, index = {}, 1
        while f"TagSpecification.1.Tag.{index}.Key" in params:
            tags[params[f"TagSpecification.1.Tag.{index}.Key"]] = params[f"TagSpecification.1.Tag.{index}.Value"]
            index += 1
        STATE.placement_groups[name] = {"strategy": params.get("Strategy", "cluster"), "tags": tags, "id": "pg-" + hashlib.sha256(name.encode()).hexdigest()[:17]}
        return f"{head}<CreatePlacementGroupResponse><placementGroup>{item(name)}</placementGroup></CreatePlacementGroupResponse>"
    if action == "DeletePlacementGroup":
        if STATE.placement_groups.pop(params["GroupName"], None) is None:
            raise Refused("InvalidPlacementGroup.Unknown", "The placement group does not exist")
        return f"{head}<DeletePlacementGroupResponse><return>true</return></DeletePlacementGroupResponse>"
    wanted = list(STATE.placement_groups)
    index = 1
    while f"Filter.{index}.Name" in params:
        name, values = params[f"Filter.{index}.Name"], members(params, f"Filter.{index}.Value")
        if name == "group-name":
            wanted = [group for group in wanted if group in values]
        elif name.startswith("tag:"):
            wanted = [group for group in wanted if STATE.placement_groups[group]["tags"].get(name[4:]) in values]
        index += 1
    items = "".join(f"<item>{item(name)}</item>" for name in wanted)
    return f"{head}<DescribePlacementGroupsResponse><placementGroupSet>{items}</placementGroupSet></DescribePlacementGroupsResponse>"


CANNED = {
    "DescribeVolumeStatus": '<?xml version="1.0"?><DescribeVolumeStatusResponse><volumeStatusSet/></DescribeVolumeStatusResponse>',
    "GetSpotPlacementScores": '<?xml version="1.0"?><GetSpotPlacementScoresResponse><spotPlacementScoreSet/></GetSpotPlacementScoresResponse>',
    "DescribeSpotPriceHistory": '<?xml version="1.0"?><DescribeSpotPriceHistoryResponse><spotPriceHistorySet/></DescribeSpotPriceHistoryResponse>',
}


def replayed(service, action, params):
    """The first answer to a client token, if the same request was made before."""
    token = params.get("ClientToken")
    if service != "ec2" or not token or action not in ("RunInstances", "CreateVolume", "CreateFleet"):
        return None, None
    shape = {k: v for k, v in params.items() if k != "ClientToken"}
    known = STATE.tokens.get((action, token))
    if known is None:
        return (action, token), None
    if known[0] != shape:
        raise Refused("IdempotentParameterMismatch", "The request uses the same client token as a previous, but non-identical request.")
    body = known[1]
    # A replay shows what the token once made in its present state.
    for instance_id in set(re.findall(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", body)):
        instance = backend().get_instance(instance_id.decode())
        body = re.sub(rb"<name>(pending|running)</name>", f"<name>{instance.state}</name>".encode(), body)
    return (action, token), body


# --- (4) the state that a test starts from ---------------------------------------------------------------------------------


def ec2_call(action, params, service="ec2", version="2016-11-15"):
    """One query request straight to moto; the answer's text."""
    fields = {"Action": action, "Version": version, **params}
    authorization = f"AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    host = f"{service}.{REGION}.amazonaws.com" if service != "iam" else "iam.amazonaws.com"
    status, _, content = call_moto(internal_request("POST", "/", host, authorization), urllib.parse.urlencode(fields).encode())
    if not status.startswith("200"):
        raise ValueError(f"{action}: {content.decode()}")
    return content.decode()


def internal_request(method, path, host="127.0.0.1", authorization=""):
    return {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": host, "SERVER_PORT": "80", "HTTP_HOST": host,
            "HTTP_AUTHORIZATION": authorization, "CONTENT_TYPE": "application/x-www-form-urlencoded; charset=utf-8", "REMOTE_ADDR": "127.0.0.1",
            "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr, "wsgi.version": (1, 0), "SCRIPT_NAME": ""}


def tag_fields(kind, tags):
    fields = {"TagSpecification.1.ResourceType": kind} if tags else {}
    for index, (key, value) in enumerate(tags.items(), 1):
        fields[f"TagSpecification.1.Tag.{index}.Key"], fields[f"TagSpecification.1.Tag.{index}.Value"] = key, value
    return fields


def hours_ago(hours):
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - datetime.timedelta(hours=hours)


def world_instance(op):
    zone = op.get("zone", f"{REGION}a")
    fields = {"ImageId": next(iter(backend().amis)), "InstanceType": op.get("type", "c6i.4xlarge"), "MinCount": 1, "MaxCount": 1,
              "Placement.AvailabilityZone": zone, **tag_fields("instance", op.get("tags", {}))}
    if op.get("spot"):
        fields["InstanceMarketOptions.MarketType"] = "spot"
    instance = backend().get_instance(re.search(r"<instanceId>(i-[0-9a-f]+)<", ec2_call("RunInstances", fields)).group(1))
    ec2_call("DescribeInstances", {})  # moto: pending becomes running when it is looked at
    if op.get("state") == "stopped":
        ec2_call("StopInstances", {"InstanceId.1": instance.id})
    if "age_hours" in op:
        instance.launch_time = hours_ago(op["age_hours"])
    return instance.id


def world_volume(op):
    fields = {"AvailabilityZone": op.get("zone", f"{REGION}a"), "Size": op.get("size", 1), "VolumeType": "gp3", "Encrypted": "true", "Iops": op.get("iops", 3000),
              "Throughput": op.get("throughput", 125), **tag_fields("volume", op.get("tags", {}))}
    if "snapshot" in op:
        fields["SnapshotId"] = op["snapshot"]
    volume = backend().volumes[re.search(r"<volumeId>(vol-[0-9a-f]+)<", ec2_call("CreateVolume", fields)).group(1)]
    if op.get("instance"):
        backend().attach_volume(volume.id, op["instance"], op.get("device", "/dev/sdf"))
    if "age_hours" in op:
        volume.create_time = hours_ago(op["age_hours"])
    return volume.id


def world_snapshot(op):
    answer = ec2_call("CreateSnapshot", {"VolumeId": op["volume"], **tag_fields("snapshot", op.get("tags", {}))})
    snapshot = backend().snapshots[re.search(r"<snapshotId>(snap-[0-9a-f]+)<", answer).group(1)]
    snapshot.status = op.get("state", "completed")
    if "age_hours" in op:
        snapshot.start_time = hours_ago(op["age_hours"])
    return snapshot.id


def world_parameter(op):
    """Straight into the store: the service refuses names under /aws, where images are announced."""
    parameter = Parameter(account_id=ACCOUNT, name=op["name"], value=op["value"], parameter_type=op.get("type", "String"), description="",
                          allowed_pattern=None, keyid=None, last_modified_date=datetime.datetime.now(datetime.timezone.utc), version=1, data_type="text", labels=[])
    ssm_backends[ACCOUNT][REGION]._parameters[op["name"]] = [parameter]
    return op["name"]


def world_profile(op):
    ec2_call("CreateInstanceProfile", {"InstanceProfileName": op["name"]}, "iam", "2010-05-08")
    return op["name"]


def world_tag(op):
    backend().create_tags([op["id"]], op["tags"])


WORLD = {
    "image": lambda op: next(image.id for image in backend().amis.values() if image.architecture == "x86_64"),
    "instance": world_instance,
    "volume": world_volume,
    "snapshot": world_snapshot,
    "parameter": world_parameter,
    "profile": world_profile,
    "tag": world_tag,
    "delete_snapshot": lambda op: backend().snapshots.pop(op["id"]).id,
    "delete_volume": lambda op: backend().volumes.pop(op["id"]).id,
    "detach": lambda op: backend().detach_volume(op["id"], op["instance"], None) and None,
    "terminate": lambda op: ec2_call("TerminateInstances", {"InstanceId.1": op["id"]}) and None,
    "snapshot_state": lambda op: setattr(backend().snapshots[op["id"]], "status", op["state"]),
}


def build_world(operations):
    """Each operation's id can be used by later ones as @0, @1, …"""
    ids = []

    def resolve(value):
        if isinstance(value, str):
            return re.sub(r"@(\d+)", lambda match: str(ids[int(match.group(1))]), value)
        if isinstance(value, dict):
            return {key: resolve(item) for key, item in value.items()}
        return value

    for operation in operations:
        operation = resolve(operation)
        ids.append(WORLD[operation["op"]](operation))
    return ids


# --- the application ----------------------------------------------------------------------------------------------------


class Dropped(ConnectionError):
    """The server closes the connection without a word."""


def call_moto(environ, body):
    environ = dict(environ)
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    answer = {}

    def start_response(status, headers, exc_info=None):
        answer["status"], answer["headers"] = status, headers
        return lambda data: None

    chunks = MAIN_APP(environ, start_response)
    content = b"".join(chunks)
    if hasattr(chunks, "close"):
        chunks.close()
    return answer["status"], answer["headers"], content


def matching_rules(service, action, params):
    """The rules that apply to this call; counts it for all that name it."""
    due = []
    with STATE.lock:
        for rule in STATE.rules:
            if rule["action"] != action or rule.get("service", service) != service:
                continue
            if not all(rule["where"][key] in str(params.get(key, "")) for key in rule.get("where", {})):
                continue
            rule["seen"] = rule.get("seen", 0) + 1
            first, times = rule.get("nth", 1), rule.get("times", 1)
            if rule["seen"] >= first and (times == 0 or rule["seen"] < first + times):
                due.append(rule)
    return due


def answer_call(environ, body, service, action, params):
    due = matching_rules(service, action, params)
    for rule in due:
        if rule["kind"] == "delay":
            time.sleep(rule["seconds"])
        elif rule["kind"] == "hang":
            time.sleep(3600)
        elif rule["kind"] == "act":
            build_world([rule["do"]])
        elif rule["kind"] == "error":
            return error_answer(service, rule["code"], rule.get("message", "injected"), rule.get("status", 400))
        elif rule["kind"] == "reply":
            return 200, [("Content-Type", rule.get("type", "text/xml"))], rule["body"].encode()
    if service == "ec2" and action.endswith(("PlacementGroup", "PlacementGroups")):
        return 200, [("Content-Type", "text/xml")], placement_group_answer(action, params).encode()
    if service == "ec2" and action in CANNED:
        return 200, [("Content-Type", "text/xml")], CANNED[action].encode()
    token_key, replay = replayed(service, action, params)
    if replay is not None:
        status, headers, content = 200, [("Content-Type", "text/xml")], replay
    else:
        if service == "ec2" and action in CHECKS:
            CHECKS[action](params)
        completed = with_root_sizes(params) if service == "ec2" else None
        if completed:
            body = urllib.parse.urlencode({"Action": action, **completed}).encode()
        status, headers, content = call_moto(environ, body)
        if token_key and str(status).startswith("200"):
            STATE.tokens[token_key] = ({k: v for k, v in params.items() if k != "ClientToken"}, content)
    for rule in due:
        if rule["kind"] == "sub":
            content = content.replace(rule["find"].encode(), rule["put"].encode())
            headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
        elif rule["kind"] == "drop":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise Dropped
    return status, headers, content


def control(path, body):
    if path == "/_fault/rules":
        with STATE.lock:
            STATE.rules.extend(json.loads(body))
        return b"ok"
    if path == "/_fault/log":
        return json.dumps(STATE.log).encode()
    if path == "/_fault/reset":
        call_moto(internal_request("POST", "/moto-api/reset"), b"")
        STATE.clear()
        return b"ok"
    if path == "/_fault/forget":
        STATE.rules, STATE.log = [], []
        return b"ok"
    if path == "/_world":
        return json.dumps(build_world(json.loads(body))).encode()
    raise KeyError(path)


def application(environ, start_response):
    stream = environ["wsgi.input"]
    body = stream.read() if environ.get("wsgi.input_terminated") else stream.read(int(environ.get("CONTENT_LENGTH") or 0))
    path = environ["PATH_INFO"]
    if path.startswith(("/_fault", "/_world")):
        try:
            answer = control(path, body)
        except Exception as problem:  # the test must see what is wrong with its own fixture
            start_response("500 fixture", [("Content-Type", "text/plain")])
            return [repr(problem).encode()]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [answer]
    service, action, params = describe_request(environ, body)
    with STATE.lock:
        caller = re.search(r"Credential=([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
        STATE.log.append({"service": service, "action": action, "key": caller.group(1) if caller else None, "params": params})
    try:
        status, headers, content = answer_call(environ, body, service, action, params)
    except Refused as refusal:
        status, headers, content = error_answer(service, refusal.code, str(refusal), refusal.status)
    if isinstance(status, int):
        status = f"{status} {'OK' if status == 200 else 'error'}"
    start_response(status, headers)
    return [content]


class Handler(WSGIRequestHandler):
    def log(self, *args):
        pass  # /_fault/log has it


if __name__ == "__main__":
    server = make_server("127.0.0.1", int(sys.argv[1]), application, threaded=True, request_handler=Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
