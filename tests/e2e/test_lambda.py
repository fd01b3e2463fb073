"""The Lambda door, as raw requests."""

import base64
import re
import urllib.parse

import zoo
from gridtest import Grid, check, check_equal, check_in, shared

JSON = {"Content-Type": "application/json"}


@shared
def pair():
    grid = Grid(2)
    grid.deploy(zoo.everything(grid.project().folder))
    return grid


def invoke(name, body=b"{}", headers=None, quote=True):
    name = urllib.parse.quote(name, safe="") if quote else name
    return pair()[0].http("POST", f"/2015-03-31/functions/{name}/invocations", body, {**JSON, **(headers or {})})


def service_error(answer, status, kind):
    check_equal(answer.status, status, f"status ({answer})")
    check_equal(answer.headers.get("x-amzn-errortype", "").split(":")[0], kind, "x-amzn-ErrorType")
    check(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-.*", answer.headers.get("x-amzn-requestid", "")), f"x-amzn-RequestId: {answer.headers}")
    check_in("Message", {k.capitalize(): v for k, v in answer.json.items()}, "body")
    return answer.json


def test_request_response_gives_the_answer_with_amazons_headers():
    for headers in ({}, {"X-Amz-Invocation-Type": "RequestResponse"}):
        for _ in range(2):
            answer = invoke("jsecho", b'{"key":"value"}', headers)
            check_equal((answer.status, answer.json), (200, {"key": "value"}), "answer")
            check(answer.headers.get("x-amz-executed-version"), "X-Amz-Executed-Version")
            check_equal(len(answer.headers.get("x-amzn-requestid", "")), 36, "x-amzn-RequestId")
            check("x-amz-function-error" not in answer.headers, "no function error")


def test_json_passes_byte_for_byte():
    for text in (b'{"a":0.1}', b'{"a":1e2}', b"12345678901234567890", rb'"\u00e9\/"'):
        for _ in range(2):
            check_equal(invoke("cecho", text).body, text, "echo")


def test_an_empty_body_is_an_event_too():
    check_equal(invoke("jsecho", b"").status, 200, "status")


def test_dry_run_is_204_and_runs_nothing():
    before = pair()[0].get("/tasks/stats").json["faults"]["invokations"]
    answer = invoke("faults", b"{}", {"X-Amz-Invocation-Type": "DryRun"})
    check_equal((answer.status, answer.body), (204, b""), "answer")
    check("content-type" not in answer.headers, f"the type of nothing: {answer.headers}")
    check_equal(pair()[0].get("/tasks/stats").json["faults"]["invokations"], before, "invokations")
    service_error(invoke("absent", b"{}", {"X-Amz-Invocation-Type": "DryRun"}), 404, "ResourceNotFoundException")


def test_function_errors_are_200_with_their_header():
    for name, kind, text in (("faults.throws", "TypeError", "thrown on purpose"), ("pyfaults.raises", "ValueError", "raised on purpose")):
        for _ in range(2):
            answer = invoke(name)
            check_equal(answer.status, 200, f"{name} ({answer})")
            check_in(answer.headers.get("x-amz-function-error"), ("Unhandled", "Handled"), "X-Amz-Function-Error")
            check_equal((answer.json["errorType"], answer.json["errorMessage"]), (kind, text), name)
    check_equal((invoke("faults.absent").json.get("trace"), invoke("pyfaults.absent").json.get("stackTrace")), ([], []), "frames of a handler that is missing")
    answer = invoke("faults.exits")
    check_equal((answer.status, answer.headers.get("x-amz-function-error")), (200, "Unhandled"), f"a function that exits ({answer})")


def test_unknown_functions_are_resource_not_found():
    body = service_error(invoke("absent"), 404, "ResourceNotFoundException")
    check_equal(body["Type"], "User", "Type")
    check(body["Message"].startswith("Function not found: "), body["Message"])
    check_in("absent", body["Message"], "Message")


def test_names_may_be_arns():
    for name in ("arn:aws:lambda:us-east-1:123456789012:function:jsecho", "123456789012:function:jsecho", "jsecho:1", "jsecho:$LATEST",
                 "arn:aws:lambda:us-east-1:123456789012:function:jsecho:prod"):
        answer = invoke(name, b'"x"')
        check_equal((answer.status, answer.body), (200, b'"x"'), name)
    check_equal(pair()[0].http("POST", "/2015-03-31/functions/jsecho/invocations?Qualifier=%24LATEST", b"1", JSON).status, 200, "Qualifier")


def test_bad_requests_have_amazons_names():
    service_error(invoke("jsecho", b"{not json"), 400, "InvalidRequestContentException")
    service_error(invoke("jsecho", b"{}", {"X-Amz-Invocation-Type": "Sometimes"}), 400, "InvalidParameterValueException")
    answer = invoke("jsecho", b'"' + b"x" * 6291456 + b'"')
    check_equal(answer.status, 413, "more than 6,291,456 bytes")
    check_in(answer.headers.get("x-amzn-errortype", "").split(":")[0], ("RequestTooLargeException", "RequestEntityTooLargeException"), "x-amzn-ErrorType")


def test_client_context_and_unsigned_requests_are_taken():
    context = base64.b64encode(b'{"custom":{"a":"b"}}').decode()
    check_equal(invoke("jsecho", b"1", {"X-Amz-Client-Context": context}).status, 200, "status")


def test_a_signed_request_is_taken_as_it_is():
    signature = "AWS4-HMAC-SHA256 Credential=test/20261101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00"
    check_equal(invoke("jsecho", b"1", {"Authorization": signature, "X-Amz-Date": "20261101T000000Z"}).status, 200, "status")
