<?php
// Receive Postbell's webhooks in plain PHP, one path per dialect.
//
//     SIGNING_SECRET=whsec_...  APP_KEY=...  TOKEN=...  php -S 127.0.0.1:8080 receive.php
//
// Set only what you use.  Events are appended to EVENTS_FILE (events.jsonl) before the answer
// is sent.

const MAX_AGE_S = 300;

$body = file_get_contents('php://input');
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);

function head(string $name): string
{
    return $_SERVER['HTTP_' . strtoupper(strtr($name, '-', '_'))] ?? '';
}

// A secret from the environment; an empty one would let everybody in.
function secret(string $name): string
{
    $value = getenv($name);
    if ($value === false || $value === '') {
        http_response_code(500);
        error_log("set $name to receive at this path");
        exit;
    }
    return $value;
}

function is_recent(string $timestamp, int $units_per_s): bool
{
    return ctype_digit($timestamp) && abs(time() - intdiv((int) $timestamp, $units_per_s)) <= MAX_AGE_S;
}

// Standard Webhooks: any v1 signature over id.timestamp.body that our secret makes.
function is_native(string $body): bool
{
    $timestamp = head('webhook-timestamp');
    $key = base64_decode(substr(secret('SIGNING_SECRET'), strlen('whsec_')));
    $content = head('webhook-id') . '.' . $timestamp . '.' . $body;
    $ours = 'v1,' . base64_encode(hash_hmac('sha256', $content, $key, true));
    foreach (explode(' ', head('webhook-signature')) as $theirs) {
        if (hash_equals($ours, $theirs)) {
            return is_recent($timestamp, 1);
        }
    }
    return false;
}

// MD5 of timestamp, the word in X-WebHook-AppKey and the APP KEY; it does not cover the body.
function is_engagelab(): bool
{
    $timestamp = head('X-WebHook-Timestamp');
    $ours = md5($timestamp . head('X-WebHook-AppKey') . secret('APP_KEY'));
    return hash_equals($ours, head('X-WebHook-Signature')) && is_recent($timestamp, 1000);
}

// SendPulse signs nothing: register the URL as .../sendpulse?token=<a long random word>.
function is_sendpulse(): bool
{
    $token = $_GET['token'] ?? '';
    return is_string($token) && hash_equals(secret('TOKEN'), $token);
}

$is_ours = match ($path) {
    '/native' => is_native($body),
    '/engagelab' => is_engagelab(),
    '/sendpulse' => is_sendpulse(),
    default => null,
};
if ($is_ours !== true) {
    http_response_code($is_ours === null ? 404 : 401);
    exit;
}

// Objects stay objects (no `true` as second argument), so that an empty one is not written as [].
$data = json_decode($body);
if (json_last_error() !== JSON_ERROR_NONE) {
    http_response_code(400);
    exit;
}
$lines = '';
foreach (is_array($data) ? $data : [$data] as $event) {
    $lines .= json_encode($event, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES) . "\n";
}

$file = fopen(getenv('EVENTS_FILE') ?: 'events.jsonl', 'a');
flock($file, LOCK_EX);
$is_kept = fwrite($file, $lines) === strlen($lines) && fsync($file);
fclose($file);
http_response_code($is_kept ? 204 : 503);
