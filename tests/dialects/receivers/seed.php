<?php
// The two lines of SendPulse's "SMTP WebHooks" page, then a report of what they gave.
$json_string = file_get_contents('php://input');
$data_array = json_decode($json_string, true);

header('Content-Type: application/json');
echo json_encode([
    'error' => json_last_error_msg(),
    'count' => count($data_array),
    'first' => $data_array[0],
    'last' => $data_array[count($data_array) - 1],
]);
