package pushtest

import (
	"encoding/json"
	"net/http"
)

// FCMUnregistered says that a registration token is no more.
func FCMUnregistered() FCMAnswer {
	return FCMError(404, "NOT_FOUND", "UNREGISTERED", "Requested entity was not found.")
}

// FCMInvalidToken says that a registration token is none.
func FCMInvalidToken() FCMAnswer {
	return FCMError(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token")
}

// FCMInvalid says that a member of the request is wrong.
func FCMInvalid(field, text string) FCMAnswer {
	detail, err := json.Marshal(map[string]any{
		"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": []map[string]string{{"field": field, "description": text}},
	})
	if err != nil {
		panic(err)
	}
	return FCMError(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Request contains an invalid argument.", string(detail))
}

// FCMUnauthorized says that an access token is not good.
func FCMUnauthorized() FCMAnswer {
	return FCMError(401, "UNAUTHENTICATED", "", "Request had invalid authentication credentials.")
}

// FCMThirdParty says that the project's own key for APNs is not good.
func FCMThirdParty() FCMAnswer {
	return FCMError(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", "Auth error from APNS or Web Push Service",
		`{"@type":"type.googleapis.com/google.firebase.fcm.v1.ApnsError","statusCode":403,"reason":"InvalidProviderToken"}`)
}

// FCMSenderMismatch says that a registration token is of another project.
func FCMSenderMismatch() FCMAnswer {
	return FCMError(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "SenderId mismatch")
}

// FCMQuota says that a quota is used up: that of the project, or the device's. retryAfter
// is the header, or empty.
func FCMQuota(device bool, retryAfter string) FCMAnswer {
	text := "Quota exceeded for quota metric 'Messages' of the project"
	if device {
		text = "Device message rate exceeded"
	}
	a := FCMError(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "Quota exceeded.",
		`{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"subject":"x","description":"`+text+`"}]}`)
	return a.after(retryAfter)
}

// FCMUnavailable says that the service is overloaded. retryAfter is the header, or empty.
func FCMUnavailable(retryAfter string) FCMAnswer {
	return FCMError(503, "UNAVAILABLE", "UNAVAILABLE", "The service is currently unavailable.").after(retryAfter)
}

func (a FCMAnswer) after(text string) FCMAnswer {
	if text != "" {
		a.Header = http.Header{"Retry-After": {text}}
	}
	return a
}
