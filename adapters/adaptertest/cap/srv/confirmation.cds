// A service of our own, shaped after the facts in mes-fields.tsv: names, types and lengths of the fields that an MES needs.
@protocol: [
  { kind: 'odata-v4', path: '/odata/v4/confirmation' },
  { kind: 'odata-v2', path: '/sap/opu/odata/sap/API_PROD_ORDER_CONFIRMATION_2_SRV' }
]
service Confirmation {
  entity ProdnOrdConf2 {
    key ConfirmationGroup         : String(10);
    key ConfirmationCount         : String(8);
        OrderID                   : String(12);
        Sequence                  : String(6);
        OrderOperation            : String(4);
        Plant                     : String(4);
        WorkCenter                : String(8);
        EnteredByExternalUser     : String(12);
        VarianceReasonCode        : String(4);
        ConfirmationText          : String(40);
        IsFinalConfirmation       : Boolean;
        ExternalSystemConfirmation : UUID;
        PostingDate               : Date;
        ConfirmedExecutionStartDate : Date;
        ConfirmedExecutionStartTime : Time;
        ConfirmedExecutionEndDate : Date;
        ConfirmedExecutionEndTime : Time;
        OpConfirmedWorkQuantity1  : Decimal(13, 3);
        OpWorkQuantityUnit1       : String(3);
        OpConfirmedWorkQuantity2  : Decimal(13, 3);
        OpWorkQuantityUnit2       : String(3);
        OpConfirmedWorkQuantity3  : Decimal(13, 3);
        OpWorkQuantityUnit3       : String(3);
        EnteredAt                 : Timestamp;
        ConfirmationUnit          : String(3);
        ConfirmationYieldQuantity : Decimal(13, 3);
        ConfirmationScrapQuantity : Decimal(13, 3);
        ConfirmationReworkQuantity : Decimal(13, 3);
        WorkMinutes               : Integer;
        Counted                   : Int64;
        to_ProdnOrdConfMatlDocItm : Composition of many ProdnOrdConfMatlDocItm
          on to_ProdnOrdConfMatlDocItm.ConfirmationGroup = ConfirmationGroup
          and to_ProdnOrdConfMatlDocItm.ConfirmationCount = ConfirmationCount;
  }

  // The same confirmations by the message that each came of, for who can only read by a key.
  entity ByMessage as select from ProdnOrdConf2 {
    key ExternalSystemConfirmation, ConfirmationGroup, ConfirmationCount, OrderID
  };

  entity ProdnOrdConfMatlDocItm {
    key ConfirmationGroup    : String(10);
    key ConfirmationCount    : String(8);
    key MaterialDocumentItem : String(4);
        Material             : String(40);
        Batch                : String(10);
        GoodsMovementType    : String(3);
        QuantityInEntryUnit  : Decimal(13, 3);
  }

  entity Orders {
    key ManufacturingOrder : String(12);
        Material           : String(40);
        @odata.etag
        LastChangeDateTime : String(14);
  }
}
